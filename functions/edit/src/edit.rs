//! Reading a request for an edit.

use std::collections::HashMap;

use lambda_http::Request;
use shared::{
    config::{Reader, groups},
    domain::{caller::Caller, id::ImageId, prompt::LONGEST_PROMPT, run::Mode, source::ImageSource},
    fetching::Reach,
    http::{Facts, Problem, Reply, fields::Fields, query::Query, request::body},
    postgres::images::{EditableImage, find_editable},
    submission::{
        Submission,
        answer::scope_of,
        composing::Wish,
        headers::RunHeaders,
        input::{OPTION_FIELDS, image_options},
    },
};

use crate::images::{self, IMAGE_FIELDS, Named};

/// What the function holds between requests.
pub(crate) struct Editing {
    pub(crate) submission: Submission,
    reach: Reach,
}

impl Editing {
    pub(crate) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let submission = Submission::read(reader, "edit");
        let reach = groups::reach(reader);
        Some(Self {
            submission: submission?,
            reach,
        })
    }

    pub(crate) async fn edit(&self, request: Request, facts: Facts) -> Result<Reply, Problem> {
        let caller = self.submission.caller(&request, &facts).await?;
        Query::parse(&request, &[]).finish()?;
        let bytes = body(&request)?;
        let known: Vec<&str> = ["instruction"]
            .into_iter()
            .chain(IMAGE_FIELDS)
            .chain(OPTION_FIELDS)
            .collect();
        let mut fields = Fields::parse(bytes, &known)?;
        let instruction = fields.required_text("instruction", 1..=LONGEST_PROMPT);
        let named = images::read(&mut fields, self.reach);
        let shape_is_given = fields.has("aspect_ratio");
        let mut options = image_options(&mut fields, self.submission.default_model());
        for mistake in RunHeaders::mistakes(request.headers()) {
            fields.error(mistake);
        }
        fields.finish()?;

        let found = self.own_images(&caller, named.all()).await?;
        let shape = named
            .first_id()
            .and_then(|id| found.get(&id)?.aspect_ratio.as_deref()?.parse().ok());
        if let Some(shape) = shape.filter(|_| !shape_is_given) {
            options.run.aspect_ratio = shape;
        }
        let sources = named
            .images
            .iter()
            .map(|named| source_of(named, &found))
            .collect::<Result<_, _>>()?;
        let mask = named.mask.as_ref();
        let wish = Wish {
            mode: Mode::Edit,
            prompt_field: "instruction",
            prompt: instruction,
            options,
            sources,
            mask: mask.map(|named| source_of(named, &found)).transpose()?,
            again: None,
            body: bytes,
        };
        let asked = self.submission.compose(&caller, wish).await?;
        self.submission.run(&request, &facts, caller, asked).await
    }

    /// Those of the images named by id that the caller may see.
    async fn own_images(
        &self,
        caller: &Caller,
        named: impl Iterator<Item = &Named>,
    ) -> Result<HashMap<ImageId, EditableImage>, Problem> {
        let ids: Vec<ImageId> = named.filter_map(Named::id).collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let found = find_editable(&self.submission.database, scope_of(caller), &ids).await?;
        Ok(found
            .into_iter()
            .filter_map(|image| Some((image.source.image_id?, image)))
            .collect())
    }
}

/// Where a named image is.
fn source_of(
    named: &Named,
    found: &HashMap<ImageId, EditableImage>,
) -> Result<ImageSource, Problem> {
    match named {
        Named::Url(url) => Ok(ImageSource::at(url)),
        Named::Id { field, id } => {
            let image = found.get(id).ok_or_else(|| {
                Problem::not_found(field, format!("There is no image {id} that you may see."))
            })?;
            Ok(image.source.clone())
        }
    }
}
