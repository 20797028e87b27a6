//! A folder with a folder of JPEG and PNG files for each class.
//!
//! Owns: which files belong to which class, and in which order: classes are the folders by name, images the files by
//! name within, both sorted by bytes; names that begin with a point, other files and deeper folders are left alone.
//! What becomes of a single picture is in [`picture`]. For now all are decoded at opening, by all cores.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::picture::{self, Fit};
use super::{Dataset, Memory, Naming};
use crate::config::{Broken, Data};
use crate::diagnostic::nearest::one_of;
use crate::diagnostic::{Code, Diagnostic};
use crate::file::unreadable;
use crate::op::shape::Shape;

/// A picture's file and its class.
struct Entry {
    path: PathBuf,
    label: u32,
}

/// Opens a folder of class folders.
///
/// # Errors
/// E0502 a picture that cannot be read (unless `data.broken` skips it), E0503 sizes that do not fit, E0505 no class
/// folder, or one without pictures, E0901 unreadable folder or file.
pub(super) fn open(
    folder: &Path,
    data: &Data,
    input: Option<Shape>,
) -> Result<Dataset, Diagnostic> {
    let (classes, mut entries) = list(folder)?;
    let skips = data.broken == Broken::Skip;
    let mut broken = Vec::new();
    let fit = match input {
        Some(input) => Fit::new(data, input)?,
        None => fit_of(&mut entries, data, skips.then_some(&mut broken))?,
    };
    let size = fit.shape().elements();
    let mut pixels = vec![0; entries.len() * size];
    let results: Vec<Result<(), Diagnostic>> = pixels
        .par_chunks_mut(size)
        .zip(&entries)
        .map(|(pixels, entry)| picture::read(&entry.path, &fit, pixels))
        .collect();
    let mut labels = Vec::with_capacity(entries.len());
    for (index, (entry, result)) in entries.iter().zip(results).enumerate() {
        match result {
            Ok(()) => {
                // Closes the gaps that skipped pictures leave.
                pixels.copy_within(index * size..(index + 1) * size, labels.len() * size);
                labels.push(entry.label);
            }
            Err(problem) if skips && problem.code == Code::E0502 => broken.push(problem),
            Err(problem) => return Err(problem),
        }
    }
    pixels.truncate(labels.len() * size);
    let mut counts = vec![0usize; classes.len()];
    for &label in &labels {
        counts[label as usize] += 1;
    }
    if let Some(empty) = counts.iter().position(|&count| count == 0) {
        let message = format!(
            "every picture of class `{}` in `{}` is broken",
            classes[empty],
            folder.display()
        );
        return Err(broken
            .into_iter()
            .fold(Diagnostic::error(Code::E0505, message), |all, one| {
                all.note(one.message)
            }));
    }
    Ok(Dataset {
        name: folder.to_string_lossy().into_owned(),
        classes,
        naming: Naming::Name,
        labels,
        shape: fit.shape(),
        images: Box::new(Memory { pixels }),
        broken,
    })
}

/// The classes and all pictures, in order.
///
/// # Errors
/// E0505 no class folder, or one without pictures; E0901 unreadable folder.
fn list(folder: &Path) -> Result<(Vec<String>, Vec<Entry>), Diagnostic> {
    let inside = sorted(folder)?;
    let folders: Vec<&PathBuf> = inside.iter().filter(|path| path.is_dir()).collect();
    if folders.is_empty() {
        let message = format!("`{}` holds no class folders", folder.display());
        let help = "put the pictures of each class into a folder of its own, named as the class";
        return Err(Diagnostic::error(Code::E0505, message).help(help));
    }
    let mut classes = Vec::new();
    let mut entries = Vec::new();
    for path in folders {
        let before = entries.len();
        let label = classes.len() as u32;
        let files = sorted(path)?
            .into_iter()
            .filter(|path| is_picture(path) && !path.is_dir());
        entries.extend(files.map(|path| Entry { path, label }));
        classes.push(name(path));
        if entries.len() == before {
            return Err(without_pictures(folder, path));
        }
    }
    Ok((classes, entries))
}

fn without_pictures(folder: &Path, class: &Path) -> Diagnostic {
    let message = format!(
        "class folder `{}` holds no JPEG or PNG file",
        class.display()
    );
    let deeper = sorted(class).is_ok_and(|inside| inside.iter().any(|path| path.is_dir()));
    let help = if deeper {
        let parts = sorted(folder).unwrap_or_default();
        let parts: Vec<String> = parts
            .into_iter()
            .filter(|path| path.is_dir())
            .map(|path| path.display().to_string())
            .collect();
        format!("did you mean {}?", one_of(parts.iter().map(String::as_str)))
    } else {
        "remove the folder, or put pictures into it".into()
    };
    Diagnostic::error(Code::E0505, message).help(help)
}

/// What a folder holds but for names that begin with a point, sorted.
fn sorted(folder: &Path) -> Result<Vec<PathBuf>, Diagnostic> {
    let read = || -> std::io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if !name(&path).starts_with('.') {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    };
    read().map_err(|error| unreadable(folder, &error))
}

fn name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn is_picture(path: &Path) -> bool {
    let extension = path
        .extension()
        .map(|end| end.to_string_lossy().to_lowercase());
    matches!(extension.as_deref(), Some("jpg" | "jpeg" | "png"))
}

/// The fit where the network leaves its input to the data: the size of the first picture (unless `data` says it), colour
/// if any picture has colours. Broken pictures are taken out of `entries` where there is a list for them.
///
/// # Errors
/// Those of [`picture::header`].
fn fit_of(
    entries: &mut Vec<Entry>,
    data: &Data,
    broken: Option<&mut Vec<Diagnostic>>,
) -> Result<Fit, Diagnostic> {
    let headers: Vec<_> = entries
        .par_iter()
        .map(|entry| picture::header(&entry.path))
        .collect();
    let mut first = None;
    let mut colours = false;
    let mut problems = Vec::new();
    let mut headers = headers.into_iter();
    entries.retain(|_| match headers.next() {
        Some(Ok((size, colour))) => {
            first.get_or_insert(size);
            colours |= colour;
            true
        }
        Some(Err(problem)) => {
            problems.push(problem);
            false
        }
        None => true,
    });
    match broken {
        Some(list) if problems.iter().all(|problem| problem.code == Code::E0502) => {
            list.append(&mut problems);
        }
        _ => {
            if let Some(problem) = problems.into_iter().next() {
                return Err(problem);
            }
        }
    }
    Ok(Fit::of_pictures(
        data,
        if colours { 3 } else { 1 },
        first.unwrap_or((1, 1)),
    ))
}
