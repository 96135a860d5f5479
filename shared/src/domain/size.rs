//! The pixels that an aspect ratio and a resolution stand for.

use crate::domain::image::{AspectRatio, PixelSize, Resolution};
use crate::domain::model::{Model, SizeRule};

/// The size to ask `model` for. Models that make three sizes only get the one of the same orientation, whatever the
/// resolution; a model that the table does not know is taken for a current one.
#[must_use]
pub fn size_for(model: &Model, aspect_ratio: AspectRatio, resolution: Resolution) -> PixelSize {
    match model.info().map(|info| info.sizes) {
        Some(SizeRule::ThreeSizes) => nearest_of_three(aspect_ratio),
        Some(SizeRule::Free) | None => table(aspect_ratio, resolution),
    }
}

/// Whether a model that makes any size accepts this one: edges multiples of 16 and at most 3840, ratio at most 3:1,
/// 655,360 to 8,294,400 pixels (`OpenAI`'s images guide, November 2026).
#[must_use]
pub fn is_free_size(size: PixelSize) -> bool {
    let PixelSize { width, height } = size;
    let (long, short) = (width.max(height), width.min(height));
    let pixels = u64::from(width) * u64::from(height);
    short > 0
        && width.is_multiple_of(16)
        && height.is_multiple_of(16)
        && long <= 3840
        && u64::from(long) <= 3 * u64::from(short)
        && (655_360..=8_294_400).contains(&pixels)
}

/// The nearest of 1024x1024, 1536x1024 and 1024x1536 by orientation.
const fn nearest_of_three(aspect_ratio: AspectRatio) -> PixelSize {
    let (width, height) = aspect_ratio.parts();
    if width == height {
        PixelSize::new(1024, 1024)
    } else if width > height {
        PixelSize::new(1536, 1024)
    } else {
        PixelSize::new(1024, 1536)
    }
}

/// Sizes as near to the ratio as multiples of 16 allow, within what gpt-image-2 and later accept.
const fn table(aspect_ratio: AspectRatio, resolution: Resolution) -> PixelSize {
    const fn pick(resolution: Resolution, sizes: [(u32, u32); 3]) -> PixelSize {
        let (width, height) = match resolution {
            Resolution::OneK => sizes[0],
            Resolution::TwoK => sizes[1],
            Resolution::FourK => sizes[2],
        };
        PixelSize::new(width, height)
    }
    match aspect_ratio {
        AspectRatio::Square => pick(resolution, [(1024, 1024), (2048, 2048), (2880, 2880)]),
        AspectRatio::TwoThree => pick(resolution, [(848, 1264), (1696, 2528), (2336, 3504)]),
        AspectRatio::ThreeTwo => pick(resolution, [(1264, 848), (2528, 1696), (3504, 2336)]),
        AspectRatio::ThreeFour => pick(resolution, [(896, 1200), (1792, 2400), (2448, 3264)]),
        AspectRatio::FourThree => pick(resolution, [(1200, 896), (2400, 1792), (3264, 2448)]),
        AspectRatio::FourFive => pick(resolution, [(928, 1152), (1856, 2304), (2560, 3200)]),
        AspectRatio::FiveFour => pick(resolution, [(1152, 928), (2304, 1856), (3200, 2560)]),
        AspectRatio::NineSixteen => pick(resolution, [(768, 1376), (1536, 2752), (2160, 3840)]),
        AspectRatio::SixteenNine => pick(resolution, [(1376, 768), (2752, 1536), (3840, 2160)]),
        AspectRatio::TwentyOneNine => pick(resolution, [(1584, 672), (3168, 1344), (3808, 1632)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_of_the_table_is_one_the_models_accept_and_near_its_ratio() {
        for aspect_ratio in AspectRatio::ALL {
            let mut pixels = 0;
            for resolution in Resolution::ALL {
                let size = table(*aspect_ratio, *resolution);
                assert!(is_free_size(size), "{aspect_ratio} {resolution} {size}");
                let (width, height) = aspect_ratio.parts();
                let wanted = f64::from(width) / f64::from(height);
                let got = f64::from(size.width) / f64::from(size.height);
                assert!(
                    (got / wanted - 1.0).abs() < 0.02,
                    "{aspect_ratio} {resolution} {size}"
                );
                assert!(
                    size.width * size.height > pixels,
                    "a higher resolution has more pixels"
                );
                pixels = size.width * size.height;
            }
        }
    }

    #[test]
    fn sizes_by_model() {
        let cases = [
            ("gpt-image-2", "1:1", "2K", "2048x2048"),
            ("gpt-image-2", "16:9", "4K", "3840x2160"),
            ("gpt-image-2.6-flare", "21:9", "1K", "1584x672"),
            ("a-model-of-tomorrow", "9:16", "2K", "1536x2752"),
            ("gpt-image-1.5", "1:1", "4K", "1024x1024"),
            ("gpt-image-1.5", "5:4", "2K", "1536x1024"),
            ("gpt-image-1-mini", "9:16", "1K", "1024x1536"),
        ];
        for (model, aspect_ratio, resolution, expected) in cases {
            let size = size_for(
                &model.parse().unwrap(),
                aspect_ratio.parse().unwrap(),
                resolution.parse().unwrap(),
            );
            assert_eq!(
                size.to_string(),
                expected,
                "{model} {aspect_ratio} {resolution}"
            );
        }
    }

    #[test]
    fn sizes_that_the_models_refuse() {
        for (width, height) in [
            (1000, 1000),
            (3856, 2048),
            (512, 512),
            (3840, 1264),
            (3840, 3840),
            (0, 16),
        ] {
            assert!(
                !is_free_size(PixelSize::new(width, height)),
                "{width}x{height}"
            );
        }
    }
}
