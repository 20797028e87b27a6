//! A file of lines, `metrics.jsonl`, which a full disk neither breaks nor loses a line of.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::Path;

/// A file of lines that only grows. Lines that cannot be written wait.
#[derive(Debug)]
pub(super) struct Log {
    /// The file.
    pub file: File,
    /// Bytes of whole lines in the file.
    length: u64,
    /// Lines that are not written yet.
    pub waiting: Vec<u8>,
}

impl Log {
    /// Opens it, or makes it.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(path)?;
        let length = file.metadata()?.len();
        Ok(Self {
            file,
            length,
            waiting: Vec::new(),
        })
    }

    /// Adds a line. One that cannot be written waits.
    pub fn write(&mut self, line: &str) -> io::Result<()> {
        self.waiting.extend(line.as_bytes());
        self.waiting.push(b'\n');
        self.flush()
    }

    /// Writes the lines that wait.
    pub fn flush(&mut self) -> io::Result<()> {
        if let Err(error) = self.file.write_all(&self.waiting) {
            // What of it was written is no whole line.
            let _ = self.file.set_len(self.length);
            return Err(error);
        }
        self.length += self.waiting.len() as u64;
        self.waiting.clear();
        Ok(())
    }

    /// All that is in it, also where the file has lost its name.
    pub fn contents(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.rewind()?;
        self.file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}
