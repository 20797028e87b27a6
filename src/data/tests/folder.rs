//! Folders of pictures, whole and broken.

use image::{GrayImage, Luma};

use super::*;
use crate::config::Broken;

#[test]
fn folders_of_classes_are_sorted_and_fitted_to_the_input() {
    let folder = class_folder();
    let set = train(folder.path(), Some(Shape::image(3, 4, 4))).unwrap();
    assert_eq!(set.classes(), ["cat", "dog"]);
    assert_eq!(set.labels(), [0, 0, 1]);
    assert_eq!(set.shape(), Shape::image(3, 4, 4));
    let pixels = image(&set, 1);
    assert!(
        pixels[0] < pixels[3] && pixels[0] == pixels[4],
        "red grows along columns: {pixels:?}"
    );
    assert!(
        pixels[16] == pixels[17] && pixels[16] < pixels[20],
        "green along rows: {pixels:?}"
    );
    assert_eq!(pixels[32..], [7; 16], "blue last");
    let grey = train(folder.path(), Some(Shape::image(1, 8, 8))).unwrap();
    let expected = encoded(&gradient(8, 8), ImageFormat::Png);
    let expected = image::load_from_memory(&expected)
        .unwrap()
        .to_luma8()
        .into_raw();
    assert_eq!(image(&grey, 2), expected);
    assert_eq!(
        train(folder.path(), None).unwrap().shape(),
        Shape::image(3, 8, 8),
        "the data's own shape"
    );
}

#[test]
fn resize_and_crop_take_the_centre() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "a/wide.png",
        &encoded(&gradient(40, 20), ImageFormat::Png),
    );
    let path = folder.path().to_string_lossy().into_owned();
    let data = |resize, crop| Data {
        resize,
        crop,
        ..Data::default()
    };
    let open = |data: &Data, input| open(&path, Part::Test, data, input);
    let square = |side| Some(Shape::image(3, side, side));

    let kept = open(&data(None, Some(10)), square(10)).unwrap();
    assert_eq!(image(&kept, 0)[..3], [15, 16, 17], "columns 15 to 24 of 40");
    assert_eq!(image(&kept, 0)[100], 5, "rows 5 to 14 of 20");
    let covered = open(&data(None, None), square(20)).unwrap();
    assert_eq!(image(&covered, 0)[..2], [10, 11]);
    let halved = open(&data(Some(10), Some(8)), None).unwrap();
    assert_eq!(halved.shape(), Shape::image(3, 8, 8));
    assert_eq!(
        image(&halved, 0)[2],
        17,
        "column 8 of 20 is the mean of columns 16 and 17, rounded up"
    );
    let own = open(&data(None, None), None).unwrap();
    assert_eq!(own.shape(), Shape::image(3, 20, 40));

    fails(
        open(&data(None, Some(30)), square(30)),
        Code::E0503,
        "3x20x40",
    );
    fails(
        open(&data(None, Some(30)), square(20)),
        Code::E0503,
        "`crop = 20`",
    );
    fails(
        open(&data(Some(10), None), square(20)),
        Code::E0503,
        "`resize = 20`",
    );
    fails(
        open(&data(None, None), Some(Shape::image(4, 9, 9))),
        Code::E0503,
        "1 or 3 channels",
    );
    write(
        folder.path(),
        "a/x.png",
        &encoded(&gradient(21, 21), ImageFormat::Png),
    );
    fails(open(&data(None, None), None), Code::E0503, "`data.resize`");
}

#[test]
fn sixteen_bits_and_alpha_are_reduced() {
    let folder = tempfile::tempdir().unwrap();
    let deep = image::ImageBuffer::<Luma<u16>, Vec<u16>>::from_pixel(2, 2, Luma([65_535 / 2]));
    write(
        folder.path(),
        "a/deep.png",
        &encoded(&deep.into(), ImageFormat::Png),
    );
    let clear = image::RgbaImage::from_pixel(2, 2, image::Rgba([10, 20, 30, 0]));
    write(
        folder.path(),
        "b/clear.png",
        &encoded(&clear.into(), ImageFormat::Png),
    );
    let set = train(folder.path(), Some(Shape::image(3, 2, 2))).unwrap();
    assert_eq!(image(&set, 0), [127; 12]);
    assert_eq!(
        image(&set, 1),
        [10, 10, 10, 10, 20, 20, 20, 20, 30, 30, 30, 30]
    );
}

#[test]
fn empty_folders_and_classes() {
    let folder = tempfile::tempdir().unwrap();
    fails(train(folder.path(), None), Code::E0505, "no class folders");
    write(folder.path(), "test/cat/a.png", b"");
    write(folder.path(), "train/cat/a.png", b"");
    let problem = fails(train(folder.path(), None), Code::E0505, "did you mean ");
    assert!(problem.help.unwrap().contains("train`"));
    fs::create_dir_all(folder.path().join("train/dog")).unwrap();
    fails(
        train(&folder.path().join("train"), None),
        Code::E0505,
        "remove the folder",
    );
}

/// Files that no decoder may accept: cut, scribbled over, empty, something else.
fn broken_pictures() -> Vec<(&'static str, Vec<u8>)> {
    let noise = GrayImage::from_fn(64, 64, |x, y| Luma([(x * 37 + y * 91 + x * y) as u8]));
    let jpeg = encoded(&noise.clone().into(), ImageFormat::Jpeg);
    let png = encoded(&noise.into(), ImageFormat::Png);
    let mut scribbled = png.clone();
    let middle = scribbled.len() / 2;
    scribbled[middle] ^= 0x55;
    vec![
        ("cut.jpg", jpeg[..jpeg.len() / 2].to_vec()),
        ("end.jpg", jpeg[..jpeg.len() - 2].to_vec()),
        ("head.jpg", jpeg[..10].to_vec()),
        ("cut.png", png[..png.len() / 2].to_vec()),
        ("scribbled.png", scribbled),
        ("empty.jpg", Vec::new()),
        ("text.png", b"hello".to_vec()),
    ]
}

#[test]
fn broken_pictures_stop_or_are_skipped() {
    for (name, bytes) in broken_pictures() {
        let folder = class_folder();
        write(folder.path(), &format!("cat/{name}"), &bytes);
        for input in [Some(Shape::image(3, 8, 8)), None] {
            fails(
                train(folder.path(), input),
                Code::E0502,
                &format!("cat/{name}"),
            );
            let data = Data {
                broken: Broken::Skip,
                ..Data::default()
            };
            let set = open(&folder.path().to_string_lossy(), Part::Train, &data, input).unwrap();
            assert_eq!((set.len(), set.broken().len()), (3, 1), "{name}");
            assert_eq!(set.labels(), [0, 0, 1]);
            assert_eq!(
                image(&set, 2),
                image(&train(class_folder().path(), input).unwrap(), 2),
                "{name}: gaps close"
            );
        }
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "cat/a.png", b"hello");
    let data = Data {
        broken: Broken::Skip,
        ..Data::default()
    };
    fails(
        open(&folder.path().to_string_lossy(), Part::Train, &data, None),
        Code::E0505,
        "every picture of class `cat`",
    );
}

#[test]
fn pictures_for_prediction_are_read_alone() {
    let folder = class_folder();
    let fit = picture::Fit::new(&Data::default(), Shape::image(1, 4, 4)).unwrap();
    let mut pixels = vec![0; 16];
    picture::read(&folder.path().join("dog/a.png"), &fit, &mut pixels).unwrap();
    assert!(pixels[15] > 0);
    let missing = folder.path().join("dog/b.png");
    let problem = picture::read(&missing, &fit, &mut pixels).unwrap_err();
    assert_eq!(problem.code, Code::E0501);
}
