//! Damage, a kill and a full disk, on real files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;

#[tokio::test]
async fn a_file_that_cannot_be_read_stops_the_start_and_is_left_as_it_is() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 5] = [
        ("empty", |bytes| bytes.clear()),
        ("cut off", |bytes| bytes.truncate(bytes.len() / 2)),
        ("another file", |bytes| bytes.fill(b'?')),
        ("zeros in its header", |bytes| bytes[..512].fill(0)),
        ("a page of noise", |bytes| {
            let pages = bytes.len() / 4_096;
            for page in 1..pages {
                bytes[page * 4_096..page * 4_096 + 64].fill(0xa5);
            }
        }),
    ];
    for (name, damage) in damages {
        let dir = TempDir::new().unwrap();
        write_some(&dir).await;
        let path = dir.path().join("livegate.redb");
        let mut bytes = fs::read(&path).unwrap();
        damage(&mut bytes);
        fs::write(&path, &bytes).unwrap();
        let refused = Engine::open(&config(&dir), Clock::system(), Metrics::new(1));
        let error = refused.err().unwrap_or_else(|| panic!("{name} was opened"));
        assert!(
            matches!(error, OpenError::Damaged { .. }),
            "{name}: {error}"
        );
        assert!(error.to_string().contains("mv "), "{name}: {error}");
        assert!(path.exists(), "{name}");
    }
}

#[tokio::test]
async fn a_file_of_a_later_version_is_refused() {
    let dir = TempDir::new().unwrap();
    write_some(&dir).await;
    let db = redb::Database::open(dir.path().join("livegate.redb")).unwrap();
    let txn = db.begin_write().unwrap();
    txn.open_table(redb::TableDefinition::<&str, u64>::new("meta"))
        .unwrap()
        .insert("format", 99)
        .unwrap();
    txn.commit().unwrap();
    drop(db);
    let refused = Engine::open(&config(&dir), Clock::system(), Metrics::new(1));
    assert!(matches!(refused, Err(OpenError::Newer { found: 99, .. })));
}

#[tokio::test]
async fn a_first_start_that_was_killed_is_begun_anew() {
    let dir = TempDir::new().unwrap();
    fs::write(dir.path().join("livegate.redb.new"), b"half").unwrap();
    write_some(&dir).await;
}

/// What a kill leaves is what the kernel has, so a copy of the file between
/// two commits is what a restart after a kill finds.
#[tokio::test]
async fn a_kill_between_commits_loses_nothing_that_was_acknowledged() {
    let dir = TempDir::new().unwrap();
    let (engine, _, mut outcomes) = open(&dir);
    for number in 1..=20_u128 {
        engine.submit(started(number)).unwrap();
        outcomes.recv().await.unwrap();
        if number % 2 == 0 {
            engine.submit(ended(number)).unwrap();
            outcomes.recv().await.unwrap();
        }
        let left = TempDir::new().unwrap();
        let name = "livegate.redb";
        fs::copy(dir.path().join(name), left.path().join(name)).unwrap();
        let (_engine, found, _outcomes) = open(&left);
        let (count, ended) = (number as usize, number as usize / 2);
        assert_eq!(
            (found.open.len(), found.ended.len()),
            (count - ended, ended)
        );
        assert_eq!(found.outbox, (count + ended) as u64);
    }
}

/// 8 MiB of memory for a disk. Needs root; without it the test says so and
/// proves nothing (the same is proved with injected errors in `faults`).
#[tokio::test]
async fn a_full_disk_refuses_and_goes_on_when_there_is_space_again() {
    let home = TempDir::new().unwrap();
    let Some(mount) = Tmpfs::mount(home.path().join("disk")) else {
        eprintln!("skipped: a tmpfs cannot be mounted here (needs root)");
        return;
    };
    let config = EngineConfig {
        dir: mount.0.join("data"),
        ..EngineConfig::default()
    };
    let metrics = Metrics::new(1);
    let (engine, _, mut outcomes) = Engine::open(&config, Clock::system(), metrics).unwrap();
    let ballast = mount.0.join("ballast");
    fs::write(&ballast, vec![0; 4 << 20]).unwrap();
    let (mut kept, mut refused) = (Vec::new(), 0);
    let mut number = 0;
    while refused < 3 {
        number += 1;
        engine.submit(big(number)).unwrap();
        match outcomes.recv().await.unwrap().result {
            Ok(()) => kept.push(id(number).to_string()),
            Err(CommitFailed) => refused += 1,
        }
        assert!(number < 10_000, "the disk never filled");
    }
    fs::remove_file(&ballast).unwrap();
    engine.submit(big(number + 1)).unwrap();
    assert_eq!(outcomes.recv().await.unwrap().result, Ok(()));
    kept.push(id(number + 1).to_string());
    assert!(engine.is_writable());
    engine.close();
    let (engine, found, _) = Engine::open(&config, Clock::system(), Metrics::new(1)).unwrap();
    let found: Vec<String> = found.open.into_iter().map(|live| live.live).collect();
    assert_eq!(found, kept);
    engine.close();
}

async fn write_some(dir: &TempDir) {
    let (engine, _, mut outcomes) = open(dir);
    for number in 1..=50 {
        engine.submit(started(number)).unwrap();
        assert_eq!(outcomes.recv().await.unwrap().result, Ok(()));
    }
    engine.close();
}

fn big(number: u128) -> Commit {
    let mut commit = started(number);
    commit.outbox[0].body = Bytes::from(vec![b'x'; 60_000]);
    commit
}

struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(path: PathBuf) -> Option<Self> {
        fs::create_dir_all(&path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"])
            .arg(&path)
            .output();
        mounted.ok()?.status.success().then(|| Self(path))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        unmount(&self.0);
    }
}

fn unmount(path: &Path) {
    let _ = Command::new("umount").arg("-l").arg(path).output();
}
