//! Opening sets of every form, and what is said about broken ones. Files are made in temporary folders.

mod cifar;
mod folder;
mod idx;
mod loader;
mod mean;
mod split;

use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use tempfile::TempDir;

use super::*;

/// An IDX file of `sizes` with its bytes.
fn idx_file(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, sizes.len() as u8];
    file.extend(sizes.iter().flat_map(|size| size.to_be_bytes()));
    file.extend(bytes);
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A folder with MNIST's names: four images of 2x3 pixels, labels 0, 1, 1, 2.
fn idx_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let pixels: Vec<u8> = (0..24).collect();
    write(
        folder.path(),
        "train-images-idx3-ubyte",
        &idx_file(&[4, 2, 3], &pixels),
    );
    write(
        folder.path(),
        "train-labels-idx1-ubyte.gz",
        &gzip(&idx_file(&[4], &[0, 1, 1, 2])),
    );
    folder
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = io::Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// A picture whose red is its column, green its row and blue 7.
fn gradient(width: u32, height: u32) -> DynamicImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([x as u8, y as u8, 7])).into()
}

/// Two classes, `cat` with two pictures and `dog` with one.
fn class_folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "dog/a.png",
        &encoded(&gradient(8, 8), ImageFormat::Png),
    );
    write(
        folder.path(),
        "cat/b.PNG",
        &encoded(&gradient(8, 8), ImageFormat::Png),
    );
    write(
        folder.path(),
        "cat/a.jpg",
        &encoded(&gradient(8, 8), ImageFormat::Jpeg),
    );
    write(folder.path(), "cat/notes.txt", b"no picture");
    write(folder.path(), ".hidden/a.png", b"");
    write(folder.path(), "README.md", b"");
    folder
}

fn train(path: &Path, input: Option<Shape>) -> Result<Dataset, Diagnostic> {
    surveyed(path, Part::Train, &Data::default(), input)
}

/// Opened, and looked at as before a training.
fn surveyed(
    path: &Path,
    part: Part,
    data: &Data,
    input: Option<Shape>,
) -> Result<Dataset, Diagnostic> {
    let mut set = open(&path.to_string_lossy(), part, data, input)?;
    match part {
        Part::Train => set.survey(data.mean, &Survey::of(data)).map(|_| ())?,
        Part::Test => set.check(&Survey::of(data))?,
    }
    Ok(set)
}

#[track_caller]
fn fails(result: Result<Dataset, Diagnostic>, code: Code, words: &str) -> Diagnostic {
    let problem = result
        .map(|set| set.len())
        .expect_err("an error was expected");
    let text = format!(
        "{}\n{}",
        problem.message,
        problem.help.as_deref().unwrap_or("")
    );
    assert!(
        problem.code == code && text.contains(words),
        "{}: {text}",
        problem.code
    );
    problem
}

fn image(set: &Dataset, index: usize) -> Vec<u8> {
    let mut pixels = vec![0; set.shape().elements()];
    set.load(index, &mut pixels).unwrap();
    pixels
}

fn counts(set: &Dataset) -> Vec<usize> {
    let class = |label| {
        set.labels()
            .iter()
            .filter(|&&other| other == label as u32)
            .count()
    };
    (0..set.classes().len()).map(class).collect()
}

#[test]
fn fashion_mini_is_in_the_binary() {
    let data = Data::default();
    for (part, each) in [(Part::Train, 200), (Part::Test, 50)] {
        let set = open("fashion-mini", part, &data, Some(Shape::image(1, 28, 28))).unwrap();
        assert_eq!(set.len(), 10 * each);
        assert_eq!(counts(&set), [each; 10]);
        assert_eq!(set.classes()[9], "Ankle boot");
        assert_eq!(set.shape(), Shape::image(1, 28, 28));
        assert!(image(&set, 0).iter().any(|&pixel| pixel > 100));
    }
    let other = open(
        "fashion-mini",
        Part::Train,
        &data,
        Some(Shape::image(3, 32, 32)),
    );
    let problem = fails(other, Code::E0503, "`input 1x28x28`");
    assert!(problem.message.contains("1x28x28") && problem.message.contains("3x32x32"));
}

#[test]
fn what_is_not_there() {
    fails(
        train(Path::new("/nowhere/fashion-mino"), None),
        Code::E0501,
        "did you mean the bundled set `fashion-mini`?",
    );
    let folder = class_folder();
    fails(
        train(&folder.path().join("cta"), None),
        Code::E0501,
        "did you mean `/",
    );
    fails(
        train(Path::new("/nowhere/else"), None),
        Code::E0501,
        "bundled sets: `fashion-mini`",
    );
}

#[test]
fn classes_fit_the_classifier() {
    let set = open("fashion-mini", Part::Train, &Data::default(), None).unwrap();
    assert!(check_classes(&set, 10).is_ok() && check_classes(&set, 256).is_ok());
    let problem = check_classes(&set, 9).unwrap_err();
    assert_eq!(
        (problem.code, problem.help.as_deref()),
        (Code::E0504, Some("end the network with `F10`"))
    );
    let problem = check_classes(&train(idx_folder().path(), None).unwrap(), 2).unwrap_err();
    assert!(problem.message.contains("label 2"), "{problem}");
}

#[test]
fn test_sets_take_over_the_training_classes() {
    let folder = class_folder();
    let mut set = train(folder.path(), None).unwrap();
    set.align(&["bird".into(), "dog".into(), "cat".into()])
        .unwrap();
    assert_eq!(set.labels(), [2, 2, 1]);
    let problem = set
        .align(&["bird".into(), "dogs".into(), "cat".into()])
        .unwrap_err();
    assert_eq!(
        (problem.code, problem.help.as_deref()),
        (Code::E0504, Some("did you mean `dogs`?"))
    );
    let mut numbered = train(idx_folder().path(), None).unwrap();
    assert_eq!(
        numbered.align(&["a".into(), "b".into()]).unwrap_err().code,
        Code::E0504
    );
    numbered
        .align(&["a", "b", "c", "d"].map(String::from))
        .unwrap();
    assert_eq!(numbered.classes()[3], "d");
    // Numbers with well-known names fit numbers and names.
    let mut bundled = open("fashion-mini", Part::Test, &Data::default(), None).unwrap();
    let names = bundled.classes().to_vec();
    bundled.align(&names).unwrap();
    let numbers: Vec<String> = (0..10).map(|label| label.to_string()).collect();
    bundled.align(&numbers).unwrap();
    let mut bundled = open("fashion-mini", Part::Test, &Data::default(), None).unwrap();
    assert_eq!(
        bundled.align(&["cat".into()]).unwrap_err().code,
        Code::E0504
    );
}
