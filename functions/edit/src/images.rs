//! Reading which images a request names.

use serde_json::Value;
use shared::{
    domain::id::ImageId,
    fetching::{LONGEST_URL, Reach, Target},
    http::{FieldError, fields::Fields},
    openai::request::MOST_SOURCE_IMAGES,
};

/// The fields that name images.
pub(crate) const IMAGE_FIELDS: [&str; 5] =
    ["image_id", "image_url", "images", "mask_id", "mask_url"];

const ONE_OF_THREE: &str = "one of image_id, image_url and images";
const AN_ID: &str = "a UUID";

/// An image as the caller names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// One of ours.
    Id {
        /// The place in the request.
        field: String,
        /// Which.
        id: ImageId,
    },
    /// One that lies somewhere.
    Url(String),
}

impl Named {
    pub(crate) fn id(&self) -> Option<ImageId> {
        match self {
            Self::Id { id, .. } => Some(*id),
            Self::Url(_) => None,
        }
    }
}

/// All images that a request names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct NamedImages {
    pub(crate) images: Vec<Named>,
    pub(crate) mask: Option<Named>,
}

impl NamedImages {
    pub(crate) fn all(&self) -> impl Iterator<Item = &Named> {
        self.images.iter().chain(&self.mask)
    }

    /// The first image, where it is one of ours.
    pub(crate) fn first_id(&self) -> Option<ImageId> {
        self.images.first()?.id()
    }
}

/// Reads them. Mistakes are noted in `fields`.
pub(crate) fn read(fields: &mut Fields, reach: Reach) -> NamedImages {
    let given: Vec<&str> = ["image_id", "image_url", "images"]
        .into_iter()
        .filter(|name| fields.has(name))
        .collect();
    match given.as_slice() {
        [] => fields.error(FieldError::new(
            "image_id",
            "is required, or image_url, or images.",
            ONE_OF_THREE,
        )),
        [_] => {}
        [first, rest @ ..] => {
            for name in rest {
                let message = format!("is given beside {first}.");
                fields.error(FieldError::new(*name, message, ONE_OF_THREE));
            }
        }
    }
    if fields.has("mask_id") && fields.has("mask_url") {
        fields.error(FieldError::new(
            "mask_url",
            "is given beside mask_id.",
            "one of mask_id and mask_url",
        ));
    }
    let mut images = Vec::new();
    images.extend(by_id(fields, "image_id"));
    images.extend(by_url(fields, "image_url", reach));
    images.extend(list(fields, reach));
    let mask = by_id(fields, "mask_id");
    let mask_url = by_url(fields, "mask_url", reach);
    NamedImages {
        images,
        mask: mask.or(mask_url),
    }
}

fn by_id(fields: &mut Fields, name: &str) -> Option<Named> {
    let id = fields.parsed(name, AN_ID)?;
    Some(Named::Id {
        field: name.to_owned(),
        id,
    })
}

fn by_url(fields: &mut Fields, name: &str, reach: Reach) -> Option<Named> {
    let url = fields.text(name, 1..=LONGEST_URL)?;
    named_url(name, &url, reach)
        .map_err(|error| fields.error(error))
        .ok()
}

fn list(fields: &mut Fields, reach: Reach) -> Vec<Named> {
    let allowed = format!(
        "a list of 1 to {MOST_SOURCE_IMAGES} elements: an image's UUID, its https URL, or an object with image_id or image_url"
    );
    let Some(value) = fields.value("images") else {
        return Vec::new();
    };
    let Value::Array(items) = value else {
        fields.error(FieldError::new("images", "must be a list.", allowed));
        return Vec::new();
    };
    if items.is_empty() || items.len() > MOST_SOURCE_IMAGES {
        let message = format!("has {} elements.", items.len());
        fields.error(FieldError::new("images", message, allowed));
        return Vec::new();
    }
    let mut images = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        match element(&format!("images[{index}]"), item, reach, &allowed) {
            Ok(named) => images.push(named),
            Err(error) => fields.error(error),
        }
    }
    images
}

/// One element of the list: a text says by itself whether it is an id or a URL.
fn element(place: &str, item: &Value, reach: Reach, allowed: &str) -> Result<Named, FieldError> {
    let wrong = |message: &str| FieldError::new(place, message, allowed);
    match item {
        Value::String(text) => match text.trim().parse() {
            Ok(id) => Ok(Named::Id {
                field: place.to_owned(),
                id,
            }),
            Err(_) => named_url(place, text.trim(), reach),
        },
        Value::Object(fields) => {
            let mut given = fields.iter().filter(|(_, value)| !value.is_null());
            let (Some((name, value)), None) = (given.next(), given.next()) else {
                return Err(wrong("must have either image_id or image_url."));
            };
            let place = format!("{place}.{name}");
            match (name.as_str(), value.as_str()) {
                ("image_id", Some(text)) => {
                    let id = text
                        .trim()
                        .parse()
                        .map_err(|_| FieldError::new(&place, "is not a UUID.", AN_ID))?;
                    Ok(Named::Id { field: place, id })
                }
                ("image_url", Some(text)) => named_url(&place, text.trim(), reach),
                ("image_id" | "image_url", None) => {
                    Err(FieldError::new(place, "must be a string.", "a string"))
                }
                _ => Err(FieldError::new(
                    place,
                    "is not a known field.",
                    vec!["image_id", "image_url"],
                )),
            }
        }
        _ => Err(wrong("must be a string or an object.")),
    }
}

/// A URL that may be followed, as far as it tells by itself; where its name leads is found out when it is fetched.
fn named_url(place: &str, url: &str, reach: Reach) -> Result<Named, FieldError> {
    match Target::parse(url, reach) {
        Ok(_) => Ok(Named::Url(url.to_owned())),
        Err(refused) => Err(FieldError::new(
            place,
            format!("cannot be used: {refused}."),
            format!("a public https URL of at most {LONGEST_URL} characters"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shared::http::Problem;

    use super::*;

    const ID: &str = "5f0c6f0e-8f1d-4c39-a5e4-52d94a9dfb1e";
    const URL: &str = "https://example.com/a.png";

    fn read_of(body: &Value) -> (NamedImages, Option<Problem>) {
        let mut fields = Fields::parse(body.to_string().as_bytes(), &IMAGE_FIELDS).unwrap();
        let named = read(&mut fields, Reach::Public);
        (named, fields.finish().err())
    }

    fn id(field: &str) -> Named {
        Named::Id {
            field: field.to_owned(),
            id: ID.parse().unwrap(),
        }
    }

    #[test]
    fn images_are_named_in_several_ways() {
        let url = || Named::Url(URL.to_owned());
        let table = [
            (json!({"image_id": ID}), vec![id("image_id")], None),
            (
                json!({"image_url": URL, "image_id": null}),
                vec![url()],
                None,
            ),
            (
                json!({"images": [ID, URL, {"image_id": ID}, {"image_url": URL, "image_id": null}]}),
                vec![id("images[0]"), url(), id("images[2].image_id"), url()],
                None,
            ),
            (
                json!({"image_id": ID, "mask_id": ID}),
                vec![id("image_id")],
                Some(id("mask_id")),
            ),
            (
                json!({"image_id": ID, "mask_url": URL}),
                vec![id("image_id")],
                Some(url()),
            ),
        ];
        for (body, images, mask) in table {
            let (named, problem) = read_of(&body);
            assert!(problem.is_none(), "{body} {problem:?}");
            assert_eq!(named, NamedImages { images, mask }, "{body}");
        }
    }

    #[test]
    fn each_mistake_names_its_place() {
        let many: Vec<&str> = vec![URL; 17];
        let table: [(Value, &[&str]); 16] = [
            (json!({}), &["image_id"]),
            (json!({"images": []}), &["images"]),
            (json!({"images": many}), &["images"]),
            (json!({"images": URL}), &["images"]),
            (json!({"image_id": "x"}), &["image_id"]),
            (json!({"image_id": 7}), &["image_id"]),
            (json!({"image_url": "http://example.com/"}), &["image_url"]),
            (json!({"image_url": "https://127.0.0.1/"}), &["image_url"]),
            (json!({"image_url": ""}), &["image_url"]),
            (json!({"image_id": ID, "image_url": URL}), &["image_url"]),
            (json!({"image_id": ID, "images": [URL]}), &["images"]),
            (
                json!({"image_id": ID, "mask_id": ID, "mask_url": URL}),
                &["mask_url"],
            ),
            (
                json!({"image_id": ID, "mask_url": "file:///etc/passwd"}),
                &["mask_url"],
            ),
            (
                json!({"images": [7, "nothing", {}, {"image_id": ID, "image_url": URL}]}),
                &["images[0]", "images[1]", "images[2]", "images[3]"],
            ),
            (
                json!({"images": [{"image_id": "x"}, {"image_url": 7}, {"url": URL}]}),
                &["images[0].image_id", "images[1].image_url", "images[2].url"],
            ),
            (
                json!({"images": [{"image_url": "https://[::1]/"}], "mask_id": []}),
                &["images[0].image_url", "mask_id"],
            ),
        ];
        for (body, places) in table {
            let (_, problem) = read_of(&body);
            let errors = problem
                .map(|problem| problem.errors().to_vec())
                .unwrap_or_default();
            let named: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
            assert_eq!(named, places, "{body}");
        }
    }
}
