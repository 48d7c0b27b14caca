//! The data directory: who owns it, and opening the file in it.
//!
//! Invariant: a file that is there is opened or refused, never replaced. A new
//! one gets its name only when it is complete, so an empty file under that
//! name is damage and not a beginning.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::MetadataExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError};
use thiserror::Error;

use super::StoreError;
use super::space::Space;
use super::tables::{FORMAT, Tables};

const STATE: &str = "livegate.redb";
const STATE_NEW: &str = "livegate.redb.new";
/// What `st_blocks` counts in.
const BLOCK: u64 = 512;
const LOCK: &str = "livegate.lock";

/// Why the store cannot be opened, and what to do.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The directory cannot be made, read or written.
    #[error("data directory {path}: {source}")]
    Directory {
        /// What could not be used.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "data directory {dir} is in use by another livegate ({holder}); \
         stop it, or give this one a directory of its own with --data"
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// What is known of the other process.
        holder: String,
    },
    /// The file is damaged, or is something else.
    #[error(
        "state file {path} cannot be read: {reason}. It is left as it is: starting without it \
         would forget open lives and what backends have not been told yet. Restore it from a \
         backup, or move it away to begin anew: mv {path} {path}.broken"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file was written by a later version.
    #[error("state file {path} has format {found}, this livegate reads up to {FORMAT}; upgrade it")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The writer's thread could not be started.
    #[error("cannot start the writer thread")]
    Thread(#[source] io::Error),
}

/// The data directory, owned by this process until dropped.
#[derive(Debug)]
pub(super) struct Home {
    state: PathBuf,
    cache_bytes: usize,
    _lock: File,
}

impl Home {
    /// Makes the directory if need be, and takes it.
    pub(super) fn take(dir: &Path, cache_bytes: usize) -> Result<Self, OpenError> {
        fs::create_dir_all(dir).map_err(|source| directory(dir, source))?;
        let lock = lock(dir)?;
        Ok(Self {
            state: dir.join(STATE),
            cache_bytes,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.state
    }

    /// Opens the file at the start of the process, or makes a new one where
    /// there is none. `verify` reads all of it.
    pub(super) fn open_first(&self, verify: bool) -> Result<Database, OpenError> {
        match fs::metadata(&self.state) {
            Ok(meta) if meta.len() == 0 => return Err(self.damaged("it is empty")),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.create()?,
            Err(source) => return Err(directory(&self.state, source)),
        }
        let mut builder = self.builder();
        builder.set_check_integrity_on_open(verify);
        self.guarded(|| builder.open(&self.state).map_err(StoreError::from))
    }

    /// Opens the file again after an error. It is never made anew.
    pub(super) fn open_again(&self) -> Result<Database, DatabaseError> {
        self.builder().open(&self.state)
    }

    /// How the disk under the file stands.
    pub(super) fn space(&self) -> Option<Space> {
        let disk = rustix::fs::statvfs(&self.state).ok()?;
        let file = fs::metadata(&self.state).ok()?;
        Some(Space {
            free: disk.f_bavail.saturating_mul(disk.f_frsize),
            taken: file.blocks().saturating_mul(BLOCK),
        })
    }

    /// Runs a step of opening; redb answers some damage with a panic.
    pub(super) fn guarded<T>(
        &self,
        step: impl FnOnce() -> Result<T, StoreError>,
    ) -> Result<T, OpenError> {
        match catch_unwind(AssertUnwindSafe(step)) {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(StoreError::Redb(error))) => Err(self.refusal(*error)),
            Ok(Err(error)) => Err(self.damaged(&error.to_string())),
            Err(_) => Err(self.damaged("its structure is broken")),
        }
    }

    pub(super) fn newer(&self, found: u64) -> OpenError {
        OpenError::Newer {
            path: self.state.clone(),
            found,
        }
    }

    pub(super) fn damaged(&self, reason: &str) -> OpenError {
        OpenError::Damaged {
            path: self.state.clone(),
            reason: reason.to_owned(),
        }
    }

    fn refusal(&self, error: redb::Error) -> OpenError {
        match error {
            redb::Error::Io(source)
                if !matches!(
                    source.kind(),
                    io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof
                ) =>
            {
                directory(&self.state, source)
            }
            redb::Error::DatabaseAlreadyOpen => OpenError::InUse {
                dir: self.state.clone(),
                holder: "which holds no lock of livegate".to_owned(),
            },
            other => self.damaged(&other.to_string()),
        }
    }

    fn builder(&self) -> redb::Builder {
        let mut builder = Database::builder();
        builder.set_cache_size(self.cache_bytes);
        builder
    }

    /// Makes a complete file under another name, then names it.
    fn create(&self) -> Result<(), OpenError> {
        let new = self.state.with_file_name(STATE_NEW);
        let made = remove_if_there(&new)
            .map_err(StoreError::from)
            .and_then(|()| {
                let db = self.builder().create(&new)?;
                let txn = db.begin_write()?;
                Tables::open(&txn)?.stamp_format()?;
                txn.commit()?;
                db.close()?;
                fs::rename(&new, &self.state)?;
                sync_directory(&self.state)?;
                Ok(())
            });
        made.map_err(|error| match error {
            StoreError::Redb(error) => self.refusal(*error),
            StoreError::Record(_) | StoreError::Wrong(_) | StoreError::Id(_) => {
                self.damaged(&error.to_string())
            }
        })
    }
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join(LOCK);
    let open = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(&path);
    let mut file = open.map_err(|source| directory(&path, source))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::Error(source)) => return Err(directory(&path, source)),
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Only to tell who it is: an unreadable name changes nothing.
            let _ = file.take(64).read_to_string(&mut holder);
            return Err(OpenError::InUse {
                dir: dir.to_owned(),
                holder: holder.trim().to_owned(),
            });
        }
    }
    note_holder(&mut file).map_err(|source| directory(&path, source))?;
    Ok(file)
}

fn note_holder(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "pid {}", std::process::id())
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A new name is on disk once its directory is.
fn sync_directory(file: &Path) -> io::Result<()> {
    match file.parent() {
        Some(dir) if cfg!(unix) && !dir.as_os_str().is_empty() => File::open(dir)?.sync_all(),
        Some(_) | None => Ok(()),
    }
}

fn directory(path: &Path, source: io::Error) -> OpenError {
    OpenError::Directory {
        path: path.to_owned(),
        source,
    }
}
