//! IDX files, the form of MNIST and its likes: an images file and a labels file, gzipped or not.
//!
//! Owns: finding the pair, reading it, and saying at which byte it is broken. The form (LeCun's MNIST page): two zero
//! bytes, the type (8: unsigned bytes), the number of dimensions, each dimension as a big-endian 32-bit number, the
//! bytes. Whether a file is gzipped is seen from its first bytes, not from its name.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::in_memory::Memory;
use super::{Asked, Dataset, Naming, Part, check_present, in_memory, missing};
use crate::diagnostic::{Code, Diagnostic};
use crate::file::unreadable;
use crate::op::shape::Shape;

/// The two files of a set, each with what messages call it.
pub(super) struct Pair<'a, I, L> {
    /// The set's name.
    pub name: &'a str,
    /// The images file.
    pub images: (&'a str, I),
    /// The labels file.
    pub labels: (&'a str, L),
}

fn prefix(part: Part) -> &'static str {
    match part {
        Part::Train => "train",
        Part::Test => "t10k",
    }
}

/// One of a folder's four files, under any of its usual names.
fn find(folder: &Path, part: Part, what: &str, dimensions: u8) -> Option<PathBuf> {
    ["-", "."]
        .into_iter()
        .flat_map(|joint| {
            ["", ".gz"]
                .map(|end| format!("{}-{what}{joint}idx{dimensions}-ubyte{end}", prefix(part)))
        })
        .map(|name| folder.join(name))
        .find(|path| path.is_file())
}

/// Whether a folder holds any of MNIST's file names.
pub(super) fn is_folder(folder: &Path) -> bool {
    [Part::Train, Part::Test].into_iter().any(|part| {
        find(folder, part, "images", 3)
            .or_else(|| find(folder, part, "labels", 1))
            .is_some()
    })
}

/// A part of a folder with MNIST's file names.
///
/// # Errors
/// E0501 where one of the part's two files is missing; those of [`read`].
pub(super) fn open_folder(folder: &Path, asked: Asked<'_>) -> Result<Dataset, Diagnostic> {
    let part = asked.part;
    let lacking = |what: &str, dimensions: u8| {
        let message = format!("`{}` holds no {} {what}", folder.display(), part.name());
        let name = format!("{}-{what}-idx{dimensions}-ubyte", prefix(part));
        Diagnostic::error(Code::E0501, message)
            .help(format!("the file is called `{name}` or `{name}.gz`"))
    };
    let images = find(folder, part, "images", 3).ok_or_else(|| lacking("images", 3))?;
    let labels = find(folder, part, "labels", 1).ok_or_else(|| lacking("labels", 1))?;
    open_pair(&folder.to_string_lossy(), &images, &labels, asked)
}

/// An images file with the labels file beside it.
///
/// # Errors
/// E0501 where the labels file is missing, or the path is the labels file; those of [`read`].
pub(super) fn open_file(path: &Path, asked: Asked<'_>) -> Result<Dataset, Diagnostic> {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    if name.contains("labels") && name.contains("idx1") {
        let images = path.with_file_name(
            name.replacen("labels", "images", 1)
                .replacen("idx1", "idx3", 1),
        );
        let message = format!("`{}` holds labels, not images", path.display());
        return Err(Diagnostic::error(Code::E0501, message)
            .help(format!("give the images, `{}`", images.display())));
    }
    let beside = name
        .replacen("images", "labels", 1)
        .replacen("idx3", "idx1", 1);
    let other = match beside.strip_suffix(".gz") {
        Some(plain) => plain.to_string(),
        None => format!("{beside}.gz"),
    };
    let found = [&beside, &other]
        .into_iter()
        .filter(|other| **other != name)
        .map(|name| path.with_file_name(name))
        .find(|path| path.is_file());
    let Some(labels) = found.filter(|_| beside != name) else {
        // Perhaps no IDX file at all; that is the more useful thing to say.
        let file = open_reader(path)?;
        Header::<File, 3>::read(&path.to_string_lossy(), file, IMAGES)?;
        let message = format!("`{}` has no labels beside it", path.display());
        let help = if beside == name {
            "name the pair as MNIST does, `…-images-idx3-ubyte` and `…-labels-idx1-ubyte`".into()
        } else {
            format!(
                "the labels belong in `{}`",
                path.with_file_name(beside).display()
            )
        };
        return Err(Diagnostic::error(Code::E0501, message).help(help));
    };
    open_pair(&path.to_string_lossy(), path, &labels, asked)
}

fn open_pair(
    name: &str,
    images: &Path,
    labels: &Path,
    asked: Asked<'_>,
) -> Result<Dataset, Diagnostic> {
    let (images_name, labels_name) = (images.to_string_lossy(), labels.to_string_lossy());
    let pair = Pair {
        name,
        images: (&images_name, open_reader(images)?),
        labels: (&labels_name, open_reader(labels)?),
    };
    read(pair, asked)
}

pub(super) fn open_reader(path: &Path) -> Result<File, Diagnostic> {
    File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => missing(path),
        _ => unreadable(path, &error),
    })
}

/// Reads a pair of files whole.
///
/// # Errors
/// E0502 broken file, E0503 as [`in_memory::shape`], E0505 no images, or a class without any among the training
/// images.
pub(super) fn read<I: Read, L: Read>(
    pair: Pair<'_, I, L>,
    asked: Asked<'_>,
) -> Result<Dataset, Diagnostic> {
    let images = Header::read(pair.images.0, pair.images.1, IMAGES)?;
    let [count, height, width] = images.sizes;
    let held = Shape::image(1, height, width);
    let mut shape = held;
    if count > 0 {
        shape = in_memory::shape(pair.name, held, asked)?;
    }
    let pixels = images.body("images")?;
    let labels = Header::read(pair.labels.0, pair.labels.1, LABELS)?;
    if labels.sizes != [count] {
        let words = format!(
            "{} labels, expected {count}, as many as `{}` has images",
            labels.sizes[0], pair.images.0
        );
        return Err(broken(pair.labels.0, 4, &words));
    }
    let labels: Vec<u32> = labels.body("labels")?.into_iter().map(u32::from).collect();
    let Some(&highest) = labels.iter().max() else {
        return Err(
            Diagnostic::error(Code::E0505, format!("`{}` holds no images", pair.images.0))
                .help("give a set with at least one image of each class"),
        );
    };
    if asked.part == Part::Train {
        check_present(&labels, highest as usize + 1, pair.labels.0)?;
    }
    let classes = (0..=highest).map(|label| label.to_string()).collect();
    Ok(Dataset::in_memory(
        pair.name,
        classes,
        Naming::Number,
        labels,
        Memory {
            pixels,
            held,
            shape,
        },
    ))
}

/// E0502.
pub(super) fn broken(file: &str, byte: usize, words: &str) -> Diagnostic {
    Diagnostic::error(
        Code::E0502,
        format!("`{file}` is broken at byte {byte}: {words}"),
    )
    .help("fetch the file again, whole and unpacked or gzipped")
}

/// What a file's first four bytes must be, and of what.
type Magic = (u32, &'static str);
const IMAGES: Magic = (0x0803, "images");
const LABELS: Magic = (0x0801, "labels");

/// A file opened as far as its sizes.
struct Header<'a, R: Read, const N: usize> {
    file: &'a str,
    sizes: [usize; N],
    rest: Unpacked<R>,
}

/// A file's bytes, unpacked where they are gzipped.
pub(super) enum Unpacked<R: Read> {
    Plain(BufReader<R>),
    Gzip(Box<MultiGzDecoder<BufReader<R>>>),
}

impl<R: Read> Unpacked<R> {
    /// Looks at the first bytes for whether they are gzipped.
    pub(super) fn new(reader: R) -> Self {
        let mut buffered = BufReader::new(reader);
        let start = buffered.fill_buf();
        if start.is_ok_and(|start| start.starts_with(&[0x1f, 0x8b])) {
            Self::Gzip(Box::new(MultiGzDecoder::new(buffered)))
        } else {
            Self::Plain(buffered)
        }
    }
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(bytes),
            Self::Gzip(reader) => reader.read(bytes),
        }
    }
}

impl<'a, R: Read, const N: usize> Header<'a, R, N> {
    /// Reads up to the sizes.
    ///
    /// # Errors
    /// E0502 where the magic number or a size is wrong.
    fn read(file: &'a str, reader: R, magic: Magic) -> Result<Self, Diagnostic> {
        let mut rest = Unpacked::new(reader);
        let found = word(&mut rest, file, 0)?;
        if found != magic.0 {
            let words = format!(
                "the magic number is {found:#010x}, expected {:#010x} ({})",
                magic.0, magic.1
            );
            return Err(broken(file, 0, &words));
        }
        let mut sizes = [0; N];
        for (index, size) in sizes.iter_mut().enumerate() {
            *size = word(&mut rest, file, 4 + 4 * index)? as usize;
        }
        // No image is empty, and the whole must be countable; the number of images may be 0 (E0505 says so later).
        if sizes[1..].contains(&0)
            || sizes
                .iter()
                .try_fold(1usize, |product, &size| product.checked_mul(size))
                .is_none()
        {
            let sizes = sizes.map(|size| size.to_string()).join("x");
            return Err(broken(file, 4, &format!("sizes {sizes} are impossible")));
        }
        Ok(Self { file, sizes, rest })
    }

    /// Reads the bytes after the sizes, all of them and no more. A gzip file's checksum is verified on the way.
    ///
    /// # Errors
    /// E0502 where there are too few or too many, or gzip finds them damaged.
    fn body(mut self, what: &str) -> Result<Vec<u8>, Diagnostic> {
        let start = 4 + 4 * N;
        let expected: usize = self.sizes.iter().product();
        let mut bytes = Vec::new();
        // One byte more than expected shows whether the file goes on, and makes gzip read its checksum.
        if let Err(error) = self
            .rest
            .by_ref()
            .take(expected as u64 + 1)
            .read_to_end(&mut bytes)
        {
            return Err(broken(self.file, start + bytes.len(), &error.to_string()));
        }
        let count = self.sizes[0];
        if bytes.len() < expected {
            let words = format!(
                "it ends there, expected {} bytes for {count} {what}",
                start + expected
            );
            return Err(broken(self.file, start + bytes.len(), &words));
        }
        if bytes.len() > expected {
            let words = format!("it goes on, expected its end after {count} {what}");
            return Err(broken(self.file, start + expected, &words));
        }
        Ok(bytes)
    }
}

/// A big-endian number of the header.
fn word(reader: &mut impl Read, file: &str, byte: usize) -> Result<u32, Diagnostic> {
    let mut bytes = [0; 4];
    match reader.read_exact(&mut bytes) {
        Ok(()) => Ok(u32::from_be_bytes(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Err(broken(
            file,
            byte,
            "it ends within its header, expected the start of an IDX file",
        )),
        Err(error) => Err(broken(file, byte, &error.to_string())),
    }
}
