//! What `netc tune` found, kept for each device and driver.
//!
//! One file a device and driver, in the user's state and not beside the compiled kernels: those are made again when
//! they are missed, these took minutes of measuring and change the last bits of results. A file that cannot be used is
//! told of, and the built-in numbers count.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use toml::de::DeValue;

use crate::device::Description;
use crate::diagnostic::{Code, Diagnostic};
use crate::file;
use crate::op::limits::Limits;
use crate::op::tuning::{self, Tuning};
use crate::source::Span;
use crate::syntax;

/// The environment variable that names the folder of kept numbers.
pub const FOLDER_VARIABLE: &str = "NETC_TUNING_DIR";

/// The table of a file that holds the numbers.
const NUMBERS: &str = "numbers";

/// The place of one device's numbers.
#[derive(Clone, Debug)]
pub struct Kept {
    path: Option<PathBuf>,
}

impl Kept {
    /// The user's numbers for a device: in `NETC_TUNING_DIR`, else in `netc/tuned` of `XDG_STATE_HOME`, else in
    /// `~/.local/state/netc/tuned`, else nowhere.
    pub fn of_user(device: &Description) -> Self {
        let (base, usual) = ("XDG_STATE_HOME", ".local/state");
        let folder = file::of_user(FOLDER_VARIABLE, base, usual, "netc/tuned");
        Self::at(folder.as_deref(), device)
    }

    /// The numbers for a device in a folder.
    pub fn at(folder: Option<&Path>, device: &Description) -> Self {
        Self {
            path: folder.map(|folder| folder.join(file_name(device))),
        }
    }

    /// The file, there or not; none where there is no place to keep anything.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Whether there is a file.
    pub fn is_there(&self) -> bool {
        self.path().is_some_and(Path::exists)
    }

    /// The built-in numbers of the device's class, changed as the file says; and a warning where it cannot be used.
    pub fn tuning(&self, limits: &Limits) -> (Tuning, Option<Diagnostic>) {
        let built_in = Tuning::of(limits);
        let Some(path) = self.path().filter(|path| path.exists()) else {
            return (built_in, None);
        };
        match read(path, built_in) {
            Ok(tuning) => (tuning, None),
            Err(fault) => {
                let help = "the built-in numbers are used; `netc tune --reset` removes the file";
                (built_in, Some(fault.help(help)))
            }
        }
    }

    /// Keeps numbers for the device: those that differ from its class's.
    ///
    /// # Errors
    /// E0901 the file cannot be written.
    pub fn write(
        &self,
        device: &Description,
        limits: &Limits,
        tuning: &Tuning,
    ) -> Result<(), Diagnostic> {
        let path = self.path().ok_or_else(|| {
            let message = "there is no folder to keep tuned numbers in";
            Diagnostic::error(Code::E0901, message)
                .help(format!("set {FOLDER_VARIABLE} to one, or HOME"))
        })?;
        let folder = path.parent().expect("internal error: a file in a folder");
        fs::create_dir_all(folder).map_err(|error| file::unwritable(folder, &error))?;
        let numbers = tuning.beside(&Tuning::of(limits));
        // Names are the driver's, and may hold anything: TOML's own strings.
        let text = |text: &str| toml::Value::from(text).to_string();
        let contents = format!(
            "# Found by `netc tune` for one device and driver; `netc tune --reset` removes it.\nplatform = {}\ndevice = {}\ndriver = {}\n\n[{NUMBERS}]\n{numbers}",
            text(&device.platform),
            text(&device.name),
            text(&device.driver),
        );
        file::write(path, contents.as_bytes())
    }

    /// Removes the file; whether there was one.
    ///
    /// # Errors
    /// E0901 it cannot be removed.
    pub fn remove(&self) -> Result<bool, Diagnostic> {
        let Some(path) = self.path().filter(|path| path.exists()) else {
            return Ok(false);
        };
        fs::remove_file(path).map_err(|error| file::unwritable(path, &error))?;
        Ok(true)
    }
}

/// The device's name for people, and a key over all that distinguishes its driver.
fn file_name(device: &Description) -> String {
    let mut hash = Sha256::new();
    for fact in [&device.platform, &device.name, &device.driver] {
        hash.update((fact.len() as u64).to_le_bytes());
        hash.update(fact.as_bytes());
    }
    let key = hash.finalize();
    let mut name = String::new();
    for word in device.name.split(|c: char| !c.is_ascii_alphanumeric()) {
        if !word.is_empty() && name.len() + word.len() < 48 {
            name.push_str(&word.to_lowercase());
            name.push('-');
        }
    }
    name + &file::hex(&key[..8]) + ".toml"
}

/// A kept file's numbers on top of others.
fn read(path: &Path, built_in: Tuning) -> Result<Tuning, Diagnostic> {
    let name = path.display().to_string();
    let unreadable = |fault: Diagnostic| tuning::fault(fault.message);
    let bytes = file::read(path).map_err(unreadable)?;
    let source = syntax::source_from_bytes(&name, bytes).map_err(unreadable)?;
    let table = tuning::parse(&source)?;
    let mut tuning = built_in;
    for (key, value) in table.get_ref() {
        match (key.get_ref().as_ref(), value.get_ref()) {
            (NUMBERS, _) => tuning = tuning.read(&source, value)?,
            ("platform" | "device" | "driver", DeValue::String(_)) => {}
            (key, _) => {
                let place = Span::new(value.span().start, value.span().end);
                return Err(tuning::fault(format!("`{key}` means nothing here")).at(&source, place));
            }
        }
    }
    Ok(tuning)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(driver: &str) -> Description {
        Description {
            platform: "A \"platform\"".into(),
            name: "Some CPU / 16-Core".into(),
            driver: driver.into(),
            kind: "cpu",
            selector: "0:0".into(),
        }
    }

    #[test]
    fn what_is_kept_is_found_for_this_driver_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (limits, inner) = (Limits::nominal(), folder.path().join("deep/er"));
        let (ours, other) = (device("1"), device("2"));
        let kept = Kept::at(Some(&inner), &ours);
        let built_in = Tuning::of(&limits);
        assert_eq!(kept.tuning(&limits), (built_in, None));
        assert!(!kept.is_there() && !kept.remove().unwrap());

        let tuning = Tuning {
            accumulators: 8,
            load_cost: 0.5,
            ..built_in
        };
        kept.write(&ours, &limits, &tuning).unwrap();
        assert!(kept.is_there());
        assert_eq!(kept.tuning(&limits), (tuning, None));
        let text = fs::read_to_string(kept.path().unwrap()).unwrap();
        assert!(text.contains("device = \"Some CPU / 16-Core\"\n"), "{text}");
        assert!(
            text.ends_with("[numbers]\naccumulators = 8\nload_cost = 0.5\n"),
            "{text}"
        );
        let name = kept.path().unwrap().file_name().unwrap().to_str().unwrap();
        assert!(name.starts_with("some-cpu-16-core-"), "{name}");

        let others = Kept::at(Some(&inner), &other);
        assert_eq!(others.tuning(&limits), (built_in, None));
        assert!(kept.remove().unwrap());
        assert_eq!(kept.tuning(&limits), (built_in, None));
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::at(Some(folder.path()), &device("1"));
        let limits = Limits::nominal();
        for (text, words) in [
            (
                "[numbers]\naccumulators = 8\nvectors = 9\n",
                "between 1 and 4",
            ),
            ("[numbers]\nacumulators = 8\n", "no number `acumulators`"),
            ("accumulators = 8\n", "`accumulators` means nothing here"),
            ("numbers = 8\n", "a table of numbers"),
            ("[numbers\n", "not TOML"),
            ("\u{fffd}", "not TOML"),
        ] {
            fs::write(kept.path().unwrap(), text).unwrap();
            let (tuning, fault) = kept.tuning(&limits);
            assert_eq!(tuning, Tuning::of(&limits), "{text}");
            let fault = fault.expect(text);
            assert_eq!(fault.code, Code::W0402);
            assert!(fault.message.contains(words), "{text}: {fault}");
        }
        fs::write(kept.path().unwrap(), [0xff]).unwrap();
        assert!(kept.tuning(&limits).1.is_some());
    }

    #[test]
    fn nowhere_to_keep_numbers_is_an_error_only_when_they_are_kept() {
        let (kept, limits) = (Kept::at(None, &device("1")), Limits::nominal());
        assert_eq!(kept.tuning(&limits).1, None);
        assert!(!kept.remove().unwrap());
        let fault = kept.write(&device("1"), &limits, &Tuning::of(&limits));
        assert_eq!(fault.unwrap_err().code, Code::E0901);
    }
}
