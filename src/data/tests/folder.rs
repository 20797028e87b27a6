//! Folders of pictures, whole and broken.

use image::{GrayImage, Luma};

use super::*;
use crate::config::{Broken, Cache, MeanOf};
use crate::data::augment::Draw;
use crate::data::picture::Scratch;

/// Squares of 24 out of pictures whose shorter sides become 30.
fn cropped(cache: Cache) -> Data {
    Data {
        cache,
        resize: Some(30),
        crop: Some(24),
        ..Data::default()
    }
}

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
    let data = |resize, crop| Data {
        resize,
        crop,
        ..Data::default()
    };
    let open = |data: &Data, input| surveyed(folder.path(), Part::Test, data, input);
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
        ("end.png", png[..png.len() - 1].to_vec()),
        ("text.png", b"hello".to_vec()),
    ]
}

#[test]
fn files_that_were_cut_off_are_found_without_decoding_and_others_pass() {
    let check = |name: &str, bytes: &[u8]| {
        let folder = class_folder();
        write(folder.path(), &format!("cat/{name}"), bytes);
        surveyed(folder.path(), Part::Test, &Data::default(), None)
    };
    for (name, form) in [("x.jpg", ImageFormat::Jpeg), ("x.png", ImageFormat::Png)] {
        let mut whole = encoded(&gradient(8, 8), form);
        for end in [whole.len() - 1, whole.len() - 3] {
            fails(check(name, &whole[..end]), Code::E0502, &end.to_string());
        }
        assert_eq!(check(name, &whole).unwrap().len(), 4);
        whole.extend(b"what some camera has added");
        assert_eq!(check(name, &whole).unwrap().len(), 4);
    }
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
            for part in [Part::Train, Part::Test] {
                let set = surveyed(folder.path(), part, &data, input).unwrap();
                assert_eq!((set.len(), set.broken().len()), (3, 1), "{name}");
                assert_eq!(set.broken_files(), [format!("cat/{name}")]);
                assert_eq!(set.labels(), [0, 0, 1]);
                assert_eq!(
                    image(&set, 2),
                    image(&train(class_folder().path(), input).unwrap(), 2),
                    "{name}: gaps close"
                );
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "cat/a.png", b"hello");
    let data = Data {
        broken: Broken::Skip,
        ..Data::default()
    };
    fails(
        surveyed(folder.path(), Part::Train, &data, None),
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

#[test]
fn what_is_left_out_is_told_and_can_be_left_out_again() {
    let folder = class_folder();
    for (name, bytes) in broken_pictures() {
        write(folder.path(), &format!("dog/{name}"), &bytes);
    }
    // Not a file that can be read either: a link to nothing.
    #[cfg(unix)]
    std::os::unix::fs::symlink("nowhere", folder.path().join("dog/link.png")).unwrap();
    let skip = Data {
        broken: Broken::Skip,
        ..Data::default()
    };
    let input = Some(Shape::image(3, 8, 8));
    let path = folder.path().to_string_lossy().into_owned();
    let opened = || open(&path, Part::Train, &skip, input).unwrap();
    let mut set = opened();
    let mean = set.survey(MeanOf::Pixel, &Survey::of(&skip)).unwrap();
    let count = broken_pictures().len() + usize::from(cfg!(unix));
    assert_eq!((set.len(), set.broken().len()), (3, count));
    let mut sorted = set.broken_files().to_vec();
    sorted.sort();
    assert_eq!(set.broken_files(), sorted, "in the order of files");
    for (file, fault) in set.broken_files().iter().zip(set.broken()) {
        assert!(fault.message.contains(file.as_str()), "{fault}");
    }
    let whole = class_folder();
    let mut good = open(&whole.path().to_string_lossy(), Part::Train, &skip, input).unwrap();
    assert_eq!(
        good.survey(MeanOf::Pixel, &Survey::of(&skip)).unwrap(),
        mean
    );

    // A resumed training knows the list, and reads no file.
    let mut again = opened();
    again.leave_out(set.broken_files()).unwrap();
    assert_eq!(again.labels(), set.labels());
    assert_eq!(again.fingerprint().unwrap(), set.fingerprint().unwrap());
    #[cfg(unix)]
    fs::remove_file(folder.path().join("dog/link.png")).unwrap();
    assert_ne!(opened().fingerprint().unwrap(), set.fingerprint().unwrap());
    let all = ["dog/a.png".to_owned()];
    assert_eq!(again.leave_out(&all).unwrap_err().code, Code::E0505);
    again.leave_out(&["nowhere/a.png".into()]).unwrap();
}

#[test]
fn names_with_control_characters_are_refused() {
    for (name, shown) in [
        ("cat/a\nb.png", "cat/a\\nb.png"),
        ("b\nird/a.png", "b\\nird"),
        ("cat/\x1b[2J.jpg", "\\u{1b}[2J.jpg"),
    ] {
        let folder = class_folder();
        write(folder.path(), name, b"broken");
        let data = Data {
            broken: Broken::Skip,
            ..Data::default()
        };
        let set = surveyed(folder.path(), Part::Train, &data, None);
        let fault = fails(set, Code::E0502, shown);
        assert!(!fault.message.contains(char::is_control), "{fault}");
    }
}

#[cfg(unix)]
#[test]
fn what_is_neither_a_file_nor_a_folder_is_left_alone() {
    let folder = class_folder();
    let pipe = folder.path().join("cat/pipe.jpg");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    std::os::unix::fs::symlink(&pipe, folder.path().join("dog/link.png")).unwrap();
    let socket = folder.path().join("dog/socket.png");
    let _open = std::os::unix::net::UnixListener::bind(socket).unwrap();
    assert_eq!(train(folder.path(), None).unwrap().len(), 3);
    fails(train(&pipe, None), Code::E0501, "neither a file nor");
}

#[test]
fn the_first_broken_picture_is_told_whatever_the_threads() {
    let folder = class_folder();
    for n in 0..80 {
        let bytes = encoded(&gradient(8, 8), ImageFormat::Png);
        write(folder.path(), &format!("cat/{n:02}.png"), &bytes);
    }
    for n in [77, 40, 41] {
        write(folder.path(), &format!("cat/{n}.png"), b"broken");
    }
    for workers in [1, 2, 8] {
        let data = Data {
            workers,
            ..Data::default()
        };
        for part in [Part::Train, Part::Test] {
            let set = surveyed(folder.path(), part, &data, Some(Shape::image(3, 8, 8)));
            fails(set, Code::E0502, "cat/40.png");
        }
    }
}

#[test]
fn opening_lists_files_and_reads_none() {
    let folder = class_folder();
    write(folder.path(), "cat/broken.jpg", b"broken");
    let input = Some(Shape::image(3, 8, 8));
    let path = folder.path().to_string_lossy().into_owned();
    let set = open(&path, Part::Train, &Data::default(), input).unwrap();
    assert_eq!(set.len(), 4);
    let before = set.fingerprint().unwrap();
    fs::rename(
        folder.path().join("dog/a.png"),
        folder.path().join("dog/b.png"),
    )
    .unwrap();
    let renamed = open(&path, Part::Train, &Data::default(), input).unwrap();
    assert_ne!(renamed.fingerprint().unwrap(), before);
    let gone = set.fingerprint().unwrap_err();
    assert!(gone.message.contains("dog/a.png"), "{gone}");
    let mut pixels = vec![0; 192];
    let gone = set.load(3, &mut pixels).unwrap_err();
    assert!(
        gone.code == Code::E0501 && gone.message.contains("dog/a.png"),
        "{gone}"
    );
}

#[test]
fn other_contents_make_another_set_and_a_copy_is_the_same() {
    let (folder, copy) = (class_folder(), class_folder());
    let fingerprint = |folder: &TempDir| {
        let input = Some(Shape::image(3, 8, 8));
        train(folder.path(), input).unwrap().fingerprint().unwrap()
    };
    let later = fs::File::open(copy.path().join("cat/a.jpg")).unwrap();
    later.set_modified(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(fingerprint(&folder), fingerprint(&copy));
    let other = encoded(&gradient(9, 9), ImageFormat::Png);
    write(copy.path(), "dog/a.png", &other);
    assert_ne!(fingerprint(&folder), fingerprint(&copy));
}

#[test]
fn a_picture_is_the_same_whether_kept_or_read_again() {
    let folder = tempfile::tempdir().unwrap();
    for (name, format) in [
        ("a/a.jpg", ImageFormat::Jpeg),
        ("a/b.png", ImageFormat::Png),
    ] {
        write(folder.path(), name, &encoded(&gradient(60, 40), format));
    }
    let grey = GrayImage::from_fn(50, 50, |x, y| Luma([(x * 3 + y) as u8]));
    write(
        folder.path(),
        "b/grey.jpg",
        &encoded(&grey.into(), ImageFormat::Jpeg),
    );
    for channels in [1, 3] {
        let input = Some(Shape::image(channels, 24, 24));
        let path = folder.path().to_string_lossy().into_owned();
        let kept = surveyed(folder.path(), Part::Train, &cropped(Cache::Auto), input).unwrap();
        let read = open(&path, Part::Train, &cropped(Cache::Never), input).unwrap();
        let images: Vec<Vec<u8>> = (0..3).map(|index| image(&read, index)).collect();
        // As crate image alone makes them.
        for (index, name) in ["a/a.jpg", "a/b.png", "b/grey.jpg"].iter().enumerate() {
            let whole = image::open(folder.path().join(name)).unwrap();
            let (tall, wide) = if index == 2 { (30, 30) } else { (30, 45) };
            let filter = image::imageops::FilterType::Triangle;
            let (top, left) = ((tall - 24) / 2, (wide - 24) / 2);
            let expected: Vec<u8> = if channels == 1 {
                let small = image::imageops::resize(&whole.to_luma8(), wide, tall, filter);
                image::imageops::crop_imm(&small, left, top, 24, 24)
                    .to_image()
                    .into_raw()
            } else {
                let small = image::imageops::resize(&whole.to_rgb8(), wide, tall, filter);
                let cut = image::imageops::crop_imm(&small, left, top, 24, 24).to_image();
                (0..3)
                    .flat_map(|c| cut.pixels().map(|p| p.0[c]).collect::<Vec<_>>())
                    .collect()
            };
            assert_eq!(images[index], expected, "{name} in {channels} channels");
        }
        fs::rename(folder.path().join("a"), folder.path().join("c")).unwrap();
        for (index, expected) in images.iter().enumerate() {
            assert_eq!(&image(&kept, index), expected);
        }
        fs::rename(folder.path().join("c"), folder.path().join("a")).unwrap();
    }
}

#[test]
fn a_crop_is_the_same_whether_the_whole_picture_is_resized_or_only_that_part() {
    let folder = tempfile::tempdir().unwrap();
    for (name, width, height) in [("a", 60, 40), ("b", 30, 30), ("c", 20, 90)] {
        let picture = encoded(&gradient(width, height), ImageFormat::Png);
        write(folder.path(), &format!("a/{name}.png"), &picture);
    }
    // A line of pixels: as a whole it would become 40 million.
    let line = encoded(&gradient(2000, 1), ImageFormat::Png);
    write(folder.path(), "a/line.png", &line);
    for channels in [1, 3] {
        let input = Some(Shape::image(channels, 24, 24));
        let kept = surveyed(folder.path(), Part::Train, &cropped(Cache::Auto), input).unwrap();
        let read = surveyed(folder.path(), Part::Train, &cropped(Cache::Never), input).unwrap();
        let augmentation = Augmentation::of(&cropped(Cache::Auto), 1);
        let image = |set: &Dataset, index: usize, draw: &Draw| {
            let mut pixels = vec![0; set.shape().elements()];
            set.load_varied(index, draw, &mut Scratch::default(), &mut pixels)
                .unwrap();
            pixels
        };
        for step in 0..50 {
            let draw = augmentation.draw(step, 0);
            for index in 0..4 {
                let (one, other) = (image(&kept, index, &draw), image(&read, index, &draw));
                assert!(one == other, "{channels} channels, step {step}: {index}");
            }
        }
        fs::rename(folder.path().join("a"), folder.path().join("b")).unwrap();
        let mut pixels = vec![0; 24 * 24 * channels];
        assert!(kept.load(1, &mut pixels).is_ok(), "kept");
        assert!(kept.load(3, &mut pixels).is_err(), "the line is not");
        fs::rename(folder.path().join("b"), folder.path().join("a")).unwrap();
    }
}

#[test]
fn grey_pictures_become_colours_as_crate_image_makes_them() {
    let folder = tempfile::tempdir().unwrap();
    let value = |x: u32, y: u32| (x * 7919 + y * 104_729) as u16;
    let deep = image::ImageBuffer::<Luma<u16>, _>::from_fn(40, 30, |x, y| Luma([value(x, y)]));
    let clear = image::ImageBuffer::<image::LumaA<u16>, _>::from_fn(40, 30, |x, y| {
        image::LumaA([value(y, x), value(x, y)])
    });
    let deep = DynamicImage::from(deep);
    let clear = DynamicImage::from(clear);
    let pictures = [
        ("a.png", deep.clone()),
        ("b.png", clear.clone()),
        ("c.png", DynamicImage::from(clear.to_luma_alpha8())),
        ("d.png", DynamicImage::from(deep.to_luma8())),
        ("e.jpg", DynamicImage::from(deep.to_luma8())),
    ];
    for (name, picture) in &pictures {
        let form = if name.ends_with("png") {
            ImageFormat::Png
        } else {
            ImageFormat::Jpeg
        };
        write(folder.path(), &format!("a/{name}"), &encoded(picture, form));
    }
    let set = train(folder.path(), Some(Shape::image(3, 30, 40))).unwrap();
    for (index, (name, _)) in pictures.iter().enumerate() {
        let whole = image::open(folder.path().join("a").join(name)).unwrap();
        let colours = whole.into_rgb8();
        let expected: Vec<u8> = (0..3)
            .flat_map(|c| colours.pixels().map(|p| p.0[c]).collect::<Vec<_>>())
            .collect();
        assert!(image(&set, index) == expected, "{name}");
    }
}

#[test]
fn crops_lie_within_the_picture_and_reach_its_corners() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "a/a.png",
        &encoded(&gradient(12, 9), ImageFormat::Png),
    );
    let data = Data {
        crop: Some(8),
        ..Data::default()
    };
    let set = surveyed(folder.path(), Part::Train, &data, None).unwrap();
    let augmentation = Augmentation::of(&data, 1);
    let mut seen = std::collections::BTreeSet::new();
    for step in 0..200 {
        let draw = augmentation.draw(step, 0);
        let mut pixels = vec![0; 192];
        set.load_varied(0, &draw, &mut Scratch::default(), &mut pixels)
            .unwrap();
        let (left, top) = (pixels[0], pixels[64]);
        assert_eq!(
            (pixels[7], pixels[64 + 56]),
            (left + 7, top + 7),
            "one piece"
        );
        seen.insert((top, left));
    }
    let all: Vec<(u8, u8)> = (0..2)
        .flat_map(|top| (0..5).map(move |left| (top, left)))
        .collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), all);
    assert_eq!(image(&set, 0)[0], 2, "without a draw the centre");
    let fitted = Augmentation::of(&Data::default(), 1);
    assert_eq!(fitted.draw(0, 0), Draw::default(), "without `crop` too");
}
