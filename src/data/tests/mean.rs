//! Means, and the step from pixels to numbers.

use safetensors::SafeTensors;

use super::*;
use crate::config::{MeanOf, Scale};
use crate::data::mean::{Origin, of_images};

#[test]
fn means_equal_a_direct_sum() {
    let folder = class_folder();
    let set = train(folder.path(), Some(Shape::image(3, 5, 4))).unwrap();
    let images: Vec<Vec<u8>> = (0..set.len()).map(|index| image(&set, index)).collect();
    let direct: Vec<f64> = (0..60)
        .map(|at| {
            images.iter().map(|image| f64::from(image[at])).sum::<f64>() / images.len() as f64
        })
        .collect();
    let mean = |of| {
        set.clone()
            .survey(of, &Survey::of(&Data::default()))
            .unwrap()
    };
    let Mean::Pixel(pixel) = mean(MeanOf::Pixel) else {
        panic!("a mean image")
    };
    assert!(
        pixel
            .iter()
            .zip(&direct)
            .all(|(&mean, &direct)| (mean - direct).abs() < 1e-12)
    );
    let alone = of_images(images.iter().map(Vec::as_slice), 60);
    assert_eq!(Mean::Pixel(alone), Mean::Pixel(pixel.clone()));
    let Mean::Channel(channel) = mean(MeanOf::Channel) else {
        panic!("a channel mean")
    };
    for (mean, direct) in channel.iter().zip(direct.chunks(20)) {
        assert!((mean - direct.iter().sum::<f64>() / 20.0).abs() < 1e-12);
    }
    assert_eq!(mean(MeanOf::None), Mean::None);

    let mut out = [0.0f64; 60];
    Mean::Channel(channel.clone()).apply(Scale::Unit, &images[2], &mut out);
    let expected = (f64::from(images[2][59]) - channel[2]) / 255.0;
    assert_eq!(out[59].to_bits(), expected.to_bits());
    Mean::Pixel(pixel.clone()).apply(Scale::None, &images[1], &mut out);
    let expected = f64::from(images[1][7]) - pixel[7];
    assert_eq!(out[7].to_bits(), expected.to_bits());
    let mut out = [0.0f32; 60];
    Mean::None.apply(Scale::Unit, &images[1], &mut out);
    let expected = (f64::from(images[1][0]) / 255.0) as f32;
    assert_eq!(out[0].to_bits(), expected.to_bits());
}

#[test]
fn means_are_saved_and_read_to_the_bit() {
    let shape = Shape::image(2, 1, 3);
    let of = Origin {
        shape,
        images: 7,
        stored: Some((5, 4)),
    };
    for mean in [
        Mean::Pixel(vec![0.1, 1.0, 2.5, 3.0, 254.9, 255.0]),
        Mean::Channel(vec![0.1, 99.7]),
        Mean::None,
    ] {
        let bytes = mean.save(&of);
        assert_eq!(Mean::load(&bytes, shape, "mean").unwrap(), mean);
        assert_eq!(mean.save(&of), bytes);
        let (_, about) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(Origin::read(&about), Some((7, Some((5, 4)))));
    }
    let bytes = Mean::Pixel(vec![0.0; 6]).save(&of);
    let problem = Mean::load(&bytes, Shape::image(1, 28, 28), "mean").unwrap_err();
    assert_eq!(problem.code, Code::E0602);
    assert!(problem.message.contains("2x1x3") && problem.message.contains("1x28x28"));
    assert_eq!(
        Mean::load(&bytes[..bytes.len() - 1], shape, "mean")
            .unwrap_err()
            .code,
        Code::E0601
    );
    assert_eq!(
        Mean::load(b"", shape, "mean").unwrap_err().code,
        Code::E0601
    );
}
