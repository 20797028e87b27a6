//! Compiled programs on disk, so that a network starts without its compiler's wait.
//!
//! One file a program, named by a key over everything that the binary depends on. A file is trusted only when its
//! magic, version, key and checksum are all right (drivers take damaged binaries badly: PoCL aborts); otherwise it
//! counts as absent and is replaced. A folder that cannot be written costs time, never an error. Knows no OpenCL.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::file;

/// The environment variable that names the cache's folder.
pub const FOLDER_VARIABLE: &str = "NETC_CACHE_DIR";

/// Marks netc's files.
const MAGIC: &[u8; 8] = b"netc-clp";
/// The file's form; also part of the key. Counts up whenever the form or the way of building changes.
const VERSION: u32 = 2;
/// Magic, version, key, checksum.
const HEADER: usize = 8 + 4 + 32 + 32;

/// SHA-256 over all that a compiled program depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of these facts, in this order. Each is hashed with its length, so that no two lists run together.
    pub fn of(facts: &[&str]) -> Self {
        let mut hash = Sha256::new_with_prefix(VERSION.to_le_bytes());
        for fact in facts {
            hash.update((fact.len() as u64).to_le_bytes());
            hash.update(fact.as_bytes());
        }
        Self(hash.finalize().into())
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The file's name.
    fn file_name(&self) -> String {
        file::hex(&self.0) + ".clp"
    }
}

/// The cache: a folder, or nothing where there is none to use.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: Option<PathBuf>,
}

impl Cache {
    /// The user's: `NETC_CACHE_DIR`, else `netc` in `XDG_CACHE_HOME`, else `~/.cache/netc`, else none.
    pub fn of_user() -> Self {
        let folder = file::of_user(FOLDER_VARIABLE, "XDG_CACHE_HOME", ".cache", "netc");
        Self { folder }
    }

    /// No cache: nothing is found, nothing kept.
    pub fn none() -> Self {
        Self { folder: None }
    }

    /// For tests: a certain folder; it is made when the first program is kept.
    #[cfg(test)]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: Some(folder.into()),
        }
    }

    /// The binary that was kept under a key, where there is one and it is whole.
    pub fn read(&self, key: &Key) -> Option<Vec<u8>> {
        let mut file = fs::read(self.folder.as_ref()?.join(key.file_name())).ok()?;
        let (header, payload) = file.split_at_checked(HEADER)?;
        if header != self::header(key, payload) {
            return None;
        }
        Some(file.split_off(HEADER))
    }

    /// A place for a binary under a key; `None` where nothing can be kept, so that nobody asks a driver for a binary in
    /// vain.
    pub fn entry(&self, key: &Key) -> Option<Entry> {
        let folder = self.folder.as_ref()?;
        fs::create_dir_all(folder).ok()?;
        let file = tempfile::NamedTempFile::new_in(folder).ok()?;
        Some(Entry {
            file,
            path: folder.join(key.file_name()),
            key: *key,
        })
    }
}

/// A file on its way into the cache. It appears whole or not at all, also where several processes keep the same one.
#[derive(Debug)]
pub struct Entry {
    file: tempfile::NamedTempFile,
    path: PathBuf,
    key: Key,
}

impl Entry {
    /// Keeps a binary. A cache that cannot be written (full disk) only costs the next start its time: no error.
    pub fn keep(mut self, binary: &[u8]) {
        let written = self
            .file
            .write_all(&header(&self.key, binary))
            .and_then(|()| self.file.write_all(binary));
        if written.is_ok() {
            let _ = self.file.persist(self.path);
        }
    }
}

/// What stands before a payload.
fn header(key: &Key, payload: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&VERSION.to_le_bytes());
    header.extend_from_slice(&key.0);
    header.extend_from_slice(&Sha256::digest(payload));
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keep(cache: &Cache, key: &Key, binary: &[u8]) {
        cache
            .entry(key)
            .expect("the folder is writable")
            .keep(binary);
    }

    #[test]
    fn keys_depend_on_every_fact_and_its_borders() {
        assert_eq!(Key::of(&["ab", "c"]), Key::of(&["ab", "c"]));
        assert_ne!(Key::of(&["ab", "c"]), Key::of(&["a", "bc"]));
        assert_ne!(Key::of(&["a"]), Key::of(&["a", ""]));
    }

    #[test]
    fn damaged_truncated_and_foreign_entries_count_as_absent() {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let cache = Cache::at(folder.path().join("deep/er"));
        let (key, other) = (Key::of(&["a"]), Key::of(&["b"]));
        assert_eq!(cache.read(&key), None);
        keep(&cache, &key, b"binary");
        assert_eq!(cache.read(&key).as_deref(), Some(&b"binary"[..]));
        let path = folder.path().join("deep/er").join(key.file_name());
        let whole = fs::read(&path).expect("it was written");
        for place in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x10;
            fs::write(&path, &damaged).expect("the folder is writable");
            assert_eq!(cache.read(&key), None, "byte {place}");
            fs::write(&path, &whole[..place]).expect("the folder is writable");
            assert_eq!(cache.read(&key), None, "cut at {place}");
        }
        keep(&cache, &other, b"other");
        fs::copy(folder.path().join("deep/er").join(other.file_name()), &path)
            .expect("the folder is writable");
        assert_eq!(cache.read(&key), None, "another program's");
        keep(&cache, &key, b"binary");
        assert_eq!(cache.read(&key).as_deref(), Some(&b"binary"[..]));
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_no_error() {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        let cache = Cache::at(file.path());
        assert!(cache.entry(&Key::of(&["a"])).is_none());
        assert_eq!(cache.read(&Key::of(&["a"])), None);
    }
}
