//! Compiles the contract with protox: no protoc is needed.

use std::path::PathBuf;

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let files = [
        "livegate/client/v1/client.proto",
        "livegate/backend/v1/backend.proto",
    ];
    for file in files {
        println!("cargo:rerun-if-changed={file}");
    }
    let descriptors = protox::compile(files, [&root])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("livegate.bin"), descriptors.encode_to_vec())?;
    let grpc = std::env::var_os("CARGO_FEATURE_GRPC").is_some();
    let mut prost = prost_build::Config::new();
    prost.bytes(["."]);
    // Large and seldom there: frames and futures that hold one stay small.
    prost.boxed(".livegate.client.v1.RoomSummary.profile");
    prost.boxed(".livegate.client.v1.RoomInfoChanged.profile");
    prost.boxed(".livegate.client.v1.EnterRoomReply.room");
    tonic_prost_build::configure()
        .build_client(grpc)
        .build_server(grpc)
        .compile_fds_with_config(descriptors, prost)?;
    Ok(())
}
