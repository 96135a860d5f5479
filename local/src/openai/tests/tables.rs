//! The product's table of models against the stand-in's rules, which were written from OpenAI's documents alone.

use shared::domain::cost::estimated_output_tokens;
use shared::domain::image::{AspectRatio, Resolution};
use shared::domain::model::{MODELS, Model, ModelState, openai_quality};
use shared::domain::size::size_for;

use crate::openai::models::Family;

#[test]
fn the_tables_of_the_product_agree_with_the_documents() {
    let mut compared = 0;
    for info in MODELS {
        let model = Model::try_from(info.name.to_owned()).unwrap();
        let Ok(family) = Family::of(info.name) else {
            assert_eq!(info.state, ModelState::Retired, "{}", info.name);
            continue;
        };
        for aspect_ratio in AspectRatio::ALL {
            for resolution in Resolution::ALL {
                let size = size_for(&model, *aspect_ratio, *resolution);
                let dimensions = family.size(&size.to_string());
                assert_eq!(
                    dimensions,
                    Ok((size.width, size.height)),
                    "{} {aspect_ratio:?} {resolution:?}",
                    info.name
                );
                for quality in info.qualities {
                    let word = openai_quality(&model, *quality).unwrap();
                    assert!(family.qualities().contains(&word), "{} {word}", info.name);
                    if let Some(tokens) = estimated_output_tokens(&model, word, size) {
                        assert_eq!(
                            tokens,
                            family.output_tokens(word, size.width, size.height),
                            "{} {word} {size}",
                            info.name
                        );
                        compared += 1;
                    }
                }
            }
        }
    }
    assert!(compared > 100, "{compared}");
}
