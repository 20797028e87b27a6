//! CIFAR-10 and CIFAR-100 in their binary form: records of label bytes and a 3x32x32 image.
//!
//! Owns: finding the files by their names, telling the two forms apart, and saying at which byte one is broken. The form
//! (Krizhevsky's CIFAR page): a label byte, in CIFAR-100 a coarse and a fine one of which the fine one is the class, then
//! 1024 bytes each of red, green and blue, row by row. Files may be gzipped. Classes have names where the list of
//! names lies beside the files.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::idx::{Unpacked, broken, open_reader};
use super::in_memory::Memory;
use super::{Asked, Dataset, Naming, Part, check_present, in_memory};
use crate::diagnostic::{Code, Diagnostic};
use crate::file::{self, unreadable};
use crate::op::shape::Shape;

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Ten,
    Hundred,
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Self::Ten => "CIFAR-10",
            Self::Hundred => "CIFAR-100",
        }
    }

    fn classes(self) -> usize {
        match self {
            Self::Ten => 10,
            Self::Hundred => 100,
        }
    }

    fn label_bytes(self) -> usize {
        match self {
            Self::Ten => 1,
            Self::Hundred => 2,
        }
    }

    fn record(self) -> usize {
        self.label_bytes() + PIXELS
    }

    /// The file of the classes' names.
    fn names(self) -> &'static str {
        match self {
            Self::Ten => "batches.meta.txt",
            Self::Hundred => "fine_label_names.txt",
        }
    }
}

/// Bytes of an image.
const PIXELS: usize = 3 * 32 * 32;

/// The names of a part's files, in order.
fn names_of(form: Form, part: Part) -> Vec<String> {
    match (form, part) {
        (Form::Ten, Part::Train) => (1..=5).map(|n| format!("data_batch_{n}.bin")).collect(),
        (Form::Ten, Part::Test) => vec!["test_batch.bin".into()],
        (Form::Hundred, Part::Train) => vec!["train.bin".into()],
        (Form::Hundred, Part::Test) => vec!["test.bin".into()],
    }
}

/// A part's files in a folder, gzipped or not, each where it is there.
fn files(folder: &Path, form: Form, part: Part) -> Vec<Option<PathBuf>> {
    let find = |name: String| {
        let paths = ["", ".gz"].map(|end| folder.join(format!("{name}{end}")));
        paths.into_iter().find(|path| path.is_file())
    };
    names_of(form, part).into_iter().map(find).collect()
}

fn form_of_folder(folder: &Path) -> Option<Form> {
    [Form::Ten, Form::Hundred].into_iter().find(|&form| {
        [Part::Train, Part::Test]
            .into_iter()
            .any(|part| files(folder, form, part).iter().any(Option::is_some))
    })
}

/// Whether a folder holds any of CIFAR's file names.
pub(super) fn is_folder(folder: &Path) -> bool {
    form_of_folder(folder).is_some()
}

/// Whether a path is a file in this form: `.bin`, gzipped or not, unless it begins as an IDX file does and is of no fitting
/// size.
pub(super) fn is_file(path: &Path) -> bool {
    if Path::new(&plain_name(path))
        .extension()
        .is_none_or(|end| end != "bin")
    {
        return false;
    }
    let fits = || -> io::Result<bool> {
        let mut file = Unpacked::new(File::open(path)?);
        let mut start = Vec::new();
        file.by_ref().take(3).read_to_end(&mut start)?;
        if start != [0, 0, 8] {
            return Ok(true);
        }
        let size = start.len() as u64 + io::copy(&mut file, &mut io::sink())?;
        let records = |form: Form| size.is_multiple_of(form.record() as u64);
        Ok(records(Form::Ten) || records(Form::Hundred))
    };
    // What cannot be read is told when it is opened.
    fits().unwrap_or(true)
}

/// A file's name, without `.gz`.
fn plain_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.strip_suffix(".gz").unwrap_or(&name).to_owned()
}

/// A part of a folder with CIFAR's file names: the first ones of its files, without a gap.
///
/// # Errors
/// E0501 where the part's files are missing, or one before another; those of [`read`].
pub(super) fn open_folder(folder: &Path, asked: Asked<'_>) -> Result<Dataset, Diagnostic> {
    let form = form_of_folder(folder).expect("internal error: a folder without CIFAR's files");
    let part = asked.part;
    let (names, mut files) = (names_of(form, part), files(folder, form, part));
    let Some(last) = files.iter().rposition(Option::is_some) else {
        let message = format!("`{}` holds no {} images", folder.display(), part.name());
        let help = format!("the file is called `{0}` or `{0}.gz`", names[0]);
        return Err(Diagnostic::error(Code::E0501, message).help(help));
    };
    files.truncate(last + 1);
    if let Some(gap) = files.iter().position(Option::is_none) {
        let message = format!(
            "`{}` holds `{}`, but not `{}`",
            folder.display(),
            names[last],
            names[gap]
        );
        let help = "put the file there: a set may end with an earlier one, but lack none between";
        return Err(Diagnostic::error(Code::E0501, message).help(help));
    }
    let files = files.into_iter().flatten();
    let files = files.map(|path| contents(&path).map(|bytes| (path, bytes)));
    read(folder, &folder.join(form.names()), form, files, asked)
}

/// One file: the form by its name, else by its size, else by the names beside it, else CIFAR-10.
///
/// # Errors
/// Those of [`read`].
pub(super) fn open_file(path: &Path, asked: Asked<'_>) -> Result<Dataset, Diagnostic> {
    let name = plain_name(path);
    let bytes = contents(path)?;
    let divides = |form: Form| bytes.len().is_multiple_of(form.record());
    let form = if name.starts_with("data_batch") || name.starts_with("test_batch") {
        Form::Ten
    } else if name == "train.bin" || name == "test.bin" {
        Form::Hundred
    } else if divides(Form::Ten) != divides(Form::Hundred) {
        if divides(Form::Ten) {
            Form::Ten
        } else {
            Form::Hundred
        }
    } else if path.with_file_name(Form::Hundred.names()).is_file() {
        Form::Hundred
    } else {
        Form::Ten
    };
    let names = path.with_file_name(form.names());
    let file = std::iter::once(Ok((path.to_path_buf(), bytes)));
    read(path, &names, form, file, asked)
}

/// A file's bytes, unpacked.
///
/// # Errors
/// E0501 no such file, E0502 gzip finds it damaged, E0901 it cannot be read.
fn contents(path: &Path) -> Result<Vec<u8>, Diagnostic> {
    let mut file = Unpacked::new(open_reader(path)?);
    let mut bytes = Vec::new();
    match (file.read_to_end(&mut bytes), file) {
        (Ok(_), _) => Ok(bytes),
        (Err(error), Unpacked::Gzip(_)) => {
            let file = path.to_string_lossy();
            Err(broken(&file, bytes.len(), &error.to_string()))
        }
        (Err(error), Unpacked::Plain(_)) => Err(unreadable(path, &error)),
    }
}

/// Reads files whole, one after the other; the classes' names lie in `names_file`, where there are any.
///
/// # Errors
/// Those of [`contents`] and [`in_memory::shape`]; E0502 broken file, E0505 no images, or a class without any among the
/// training images.
fn read(
    name: &Path,
    names_file: &Path,
    form: Form,
    files: impl Iterator<Item = Result<(PathBuf, Vec<u8>), Diagnostic>>,
    asked: Asked<'_>,
) -> Result<Dataset, Diagnostic> {
    let set = name.to_string_lossy();
    let held = Shape::image(3, 32, 32);
    let shape = in_memory::shape(&set, held, asked)?;
    let (mut labels, mut pixels) = (Vec::new(), Vec::new());
    for file in files {
        let (path, bytes) = file?;
        records(&path, &bytes, form, &mut labels, &mut pixels)?;
    }
    let Some(&highest) = labels.iter().max() else {
        let message = format!("`{set}` holds no images");
        return Err(Diagnostic::error(Code::E0505, message)
            .help("give a set with at least one image of each class"));
    };
    let (classes, naming) = match names(names_file, form)? {
        Some(names) => (names, Naming::NumberAndName),
        None => (
            (0..=highest).map(|label| label.to_string()).collect(),
            Naming::Number,
        ),
    };
    if asked.part == Part::Train {
        check_present(&labels, classes.len(), &set)?;
    }
    let images = Memory {
        pixels,
        held,
        shape,
    };
    Ok(Dataset::in_memory(&set, classes, naming, labels, images))
}

/// Adds a file's labels and images.
///
/// # Errors
/// E0502 a record that is cut off, or a label that is none.
fn records(
    path: &Path,
    bytes: &[u8],
    form: Form,
    labels: &mut Vec<u32>,
    pixels: &mut Vec<u8>,
) -> Result<(), Diagnostic> {
    let file = path.to_string_lossy();
    let (size, before) = (form.record(), form.label_bytes());
    if !bytes.len().is_multiple_of(size) {
        let words = format!(
            "it ends within image {}, expected images of {size} bytes each ({})",
            bytes.len() / size,
            form.name()
        );
        return Err(broken(&file, bytes.len(), &words));
    }
    pixels.reserve(bytes.len());
    for (index, record) in bytes.chunks_exact(size).enumerate() {
        let label = record[before - 1];
        if usize::from(label) >= form.classes() {
            let words = format!(
                "label {label}, expected one below {} ({})",
                form.classes(),
                form.name()
            );
            return Err(broken(&file, index * size + before - 1, &words));
        }
        labels.push(u32::from(label));
        pixels.extend_from_slice(&record[before..]);
    }
    Ok(())
}

/// The classes' names, where their file is there.
///
/// # Errors
/// E0502 where there are more or fewer than there are classes; E0901 an unreadable file.
fn names(path: &Path, form: Form) -> Result<Option<Vec<String>>, Diagnostic> {
    if !path.is_file() {
        return Ok(None);
    }
    let bytes = file::read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let names: Vec<String> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    if names.len() == form.classes() {
        return Ok(Some(names));
    }
    let words = format!(
        "{} names, expected {} ({})",
        names.len(),
        form.classes(),
        form.name()
    );
    Err(broken(&path.to_string_lossy(), 0, &words))
}
