//! A folder with a folder of JPEG and PNG files for each class.
//!
//! Owns: which files belong to which class, and in which order: classes are the folders by name, images the files by name
//! within, both sorted by bytes; names that begin with a point, other files, deeper folders and what is neither (a pipe,
//! whose end would be waited for) are left alone. Names stand in lists, a line each, so that none may hold a line's end.
//! What becomes of a single picture is in [`picture`]. Opening lists the files; they are read when they are asked for, and
//! kept decoded where the cache has room for all. A file takes about 50 bytes of memory.

use std::ffi::{OsStr, OsString};
use std::fs::FileType;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use sha2::{Digest, Sha256};

use super::cache::{Budget, Cache};
use super::picture::{self, Fit, Scratch};
use super::{Dataset, Images, Naming};
use crate::config::{self, Broken, Data};
use crate::diagnostic::nearest::one_of;
use crate::diagnostic::{Code, Diagnostic};
use crate::file::unreadable;
use crate::op::shape::Shape;

/// Headers read to learn how much memory decoded pictures would take.
const SAMPLE: usize = 64;

/// The pictures of all classes.
#[derive(Debug)]
struct Files {
    folder: PathBuf,
    classes: Vec<Class>,
    /// The files' names, class after class.
    names: Vec<Box<OsStr>>,
}

/// A class folder.
#[derive(Debug)]
struct Class {
    name: OsString,
    /// One after its last file, among all.
    end: usize,
}

impl Files {
    fn label(&self, index: usize) -> usize {
        self.classes.partition_point(|class| class.end <= index)
    }

    fn path(&self, index: usize) -> PathBuf {
        let class = &self.classes[self.label(index)].name;
        let mut path = self.folder.join(class);
        path.push(&*self.names[index]);
        path
    }

    fn labels(&self) -> Vec<u32> {
        let mut start = 0;
        let mut labels = Vec::with_capacity(self.names.len());
        for (label, class) in self.classes.iter().enumerate() {
            labels.extend(std::iter::repeat_n(label as u32, class.end - start));
            start = class.end;
        }
        labels
    }
}

/// Pictures that are read as they are asked for.
#[derive(Debug)]
struct Streamed {
    files: Files,
    fit: Fit,
    cache: Cache,
}

impl Streamed {
    /// The bytes of all pictures, decoded and resized, by the headers of some; 0 where none can be read.
    fn expected(&self) -> u64 {
        let count = self.files.names.len();
        let sample = count.min(SAMPLE);
        let (mut bytes, mut read) = (0, 0);
        for i in 0..sample {
            let path = self.files.path(i * count / sample);
            if let Ok(header) = picture::header(&path) {
                bytes += self.fit.stored(&header) as u64;
                read += 1;
            }
        }
        // A picture's place counts too.
        let all = (bytes * count as u64).checked_div(read);
        all.map_or(0, |all| all + 64 * count as u64)
    }
}

impl Images for Streamed {
    fn load(
        &self,
        index: usize,
        crop: Option<[u32; 2]>,
        scratch: &mut Scratch,
        pixels: &mut [u8],
    ) -> Result<(), Diagnostic> {
        self.cache
            .decide(self.files.names.len(), || self.expected());
        if self
            .cache
            .show(index, |picture| self.fit.cut(picture, crop, pixels))
        {
            return Ok(());
        }
        let decoded = picture::decode(&self.files.path(index), &self.fit, scratch)?;
        if self.cache.is_on() && decoded.is_kept() {
            decoded.whole(|picture| {
                self.fit.cut(picture, crop, pixels);
                self.cache.keep(index, picture);
            });
        } else {
            decoded.cut(&self.fit, crop, pixels);
        }
        Ok(())
    }

    fn look(&self, index: usize) -> Result<(), Diagnostic> {
        picture::look(&self.files.path(index), &self.fit)
    }

    fn identify(&self, index: usize, hash: &mut Sha256) -> Result<(), Diagnostic> {
        let file = self.file(index).unwrap_or_default();
        let path = self.files.path(index);
        let found = std::fs::metadata(&path).map_err(|error| unreadable(&path, &error))?;
        hash.update((file.len() as u64).to_le_bytes());
        hash.update(file);
        hash.update(found.len().to_le_bytes());
        Ok(())
    }

    fn file(&self, index: usize) -> Option<String> {
        let class = self.files.classes[self.files.label(index)]
            .name
            .to_string_lossy();
        Some(format!(
            "{class}/{}",
            self.files.names[index].to_string_lossy()
        ))
    }
}

/// Opens a folder of class folders: lists its files, and reads their headers where the network leaves its input to the
/// data.
///
/// # Errors
/// E0502 a name with a control character, E0503 sizes that do not fit, E0505 no class folder, or one without pictures, E0901
/// unreadable folder; with the headers E0501, E0502 and E0901 a file that cannot be read (unless `data.broken` skips it).
pub(super) fn open(
    folder: &Path,
    data: &Data,
    input: Option<Shape>,
) -> Result<Dataset, Diagnostic> {
    let files = list(folder)?;
    let skips = data.broken == Broken::Skip;
    let fit = match input {
        Some(input) => Fit::new(data, input)?,
        None => fit_of(&files, data, skips)?,
    };
    let cache = match data.cache {
        config::Cache::Auto => Cache::new(Budget::of_machine()),
        config::Cache::Never => Cache::off(),
    };
    let classes = files.classes.iter();
    let classes = classes
        .map(|class| class.name.to_string_lossy().into_owned())
        .collect();
    let labels = files.labels();
    let shape = fit.shape();
    let images = Arc::new(Streamed { files, fit, cache });
    let set = Dataset::new(
        &folder.to_string_lossy(),
        classes,
        Naming::Name,
        labels,
        shape,
        images,
    );
    Ok(Dataset { skips, ..set })
}

/// The classes and all pictures, in order.
///
/// # Errors
/// E0502 a name with a control character; E0505 no class folder, or one without pictures; E0901 unreadable folder.
fn list(folder: &Path) -> Result<Files, Diagnostic> {
    let folders = sorted(folder, Wanted::Folders)?;
    if folders.is_empty() {
        let message = format!("`{}` holds no class folders", folder.display());
        let help = "put the pictures of each class into a folder of its own, named as the class";
        return Err(Diagnostic::error(Code::E0505, message).help(help));
    }
    let mut classes = Vec::new();
    let mut names = Vec::new();
    for class in folders {
        let path = folder.join(&class);
        check_name(&path)?;
        let files = sorted(&path, Wanted::Pictures)?;
        if files.is_empty() {
            return Err(without_pictures(folder, &path));
        }
        for file in files {
            check_name(&path.join(&file))?;
            names.push(file.into_boxed_os_str());
        }
        let end = names.len();
        classes.push(Class { name: class, end });
    }
    names.shrink_to_fit();
    let folder = folder.to_path_buf();
    Ok(Files {
        folder,
        classes,
        names,
    })
}

/// Whether a name can stand on a line of its own.
///
/// # Errors
/// E0502 where it holds a control character, a line's end for instance.
fn check_name(path: &Path) -> Result<(), Diagnostic> {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    // No other byte of UTF-8 is one of these.
    if !name.iter().any(u8::is_ascii_control) {
        return Ok(());
    }
    let mut shown = String::new();
    for letter in path.to_string_lossy().chars() {
        if letter.is_control() {
            shown.extend(letter.escape_default());
        } else {
            shown.push(letter);
        }
    }
    let message = format!("the name of `{shown}` holds a control character");
    Err(Diagnostic::error(Code::E0502, message).help("rename it"))
}

fn without_pictures(folder: &Path, class: &Path) -> Diagnostic {
    let message = format!(
        "class folder `{}` holds no JPEG or PNG file",
        class.display()
    );
    let deeper = sorted(class, Wanted::Folders).is_ok_and(|inside| !inside.is_empty());
    let help = if deeper {
        let parts = sorted(folder, Wanted::Folders).unwrap_or_default();
        let parts: Vec<String> = parts
            .into_iter()
            .map(|part| folder.join(part).display().to_string())
            .collect();
        format!("did you mean {}?", one_of(parts.iter().map(String::as_str)))
    } else {
        "remove the folder, or put pictures into it".into()
    };
    Diagnostic::error(Code::E0505, message).help(help)
}

/// What is looked for in a folder.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Folders,
    Pictures,
}

/// The names of what is wanted in a folder, sorted, but for those that begin with a point.
fn sorted(folder: &Path, wanted: Wanted) -> Result<Vec<OsString>, Diagnostic> {
    let read = || -> std::io::Result<Vec<OsString>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.as_encoded_bytes().starts_with(b".")
                || (wanted == Wanted::Pictures && !is_picture(&name))
            {
                continue;
            }
            // The kind is known without asking for each file, but for links.
            let mut kind = Ok(entry.file_type()?);
            if kind.as_ref().is_ok_and(FileType::is_symlink) {
                kind = std::fs::metadata(entry.path()).map(|found| found.file_type());
            }
            let is_wanted = match (wanted, kind) {
                (Wanted::Folders, kind) => kind.is_ok_and(|kind| kind.is_dir()),
                // A link to nothing is a picture that cannot be read.
                (Wanted::Pictures, kind) => kind.map_or(true, |kind| kind.is_file()),
            };
            if is_wanted {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    };
    read().map_err(|error| unreadable(folder, &error))
}

fn is_picture(name: &OsStr) -> bool {
    let extension = Path::new(name).extension();
    extension.is_some_and(|end| {
        ["jpg", "jpeg", "png"]
            .iter()
            .any(|known| end.eq_ignore_ascii_case(known))
    })
}

/// The fit where the network leaves its input to the data: the size of the first picture (unless `data` says it), colour
/// if any picture has colours. Where broken ones are skipped, their headers do not count.
///
/// # Errors
/// Those of [`picture::header`].
fn fit_of(files: &Files, data: &Data, skips: bool) -> Result<Fit, Diagnostic> {
    let headers: Vec<_> = (0..files.names.len())
        .into_par_iter()
        .map(|index| picture::header(&files.path(index)))
        .collect();
    let mut first = None;
    let mut colours = false;
    for header in headers {
        match header {
            Ok(header) => {
                first.get_or_insert(header.sides);
                colours |= header.colour;
            }
            Err(problem) if !skips => return Err(problem),
            Err(_) => (),
        }
    }
    Ok(Fit::of_pictures(
        data,
        if colours { 3 } else { 1 },
        first.unwrap_or((1, 1)),
    ))
}
