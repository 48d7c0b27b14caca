//! A UserSig proves exactly what a key's owner signed: the vendor's vectors
//! hold, one signature proves one identity, and no change to one survives.
//!
//! [`forge`] makes signatures without the code under test.

mod confusion;
mod forge;
mod mutants;
mod vectors;
