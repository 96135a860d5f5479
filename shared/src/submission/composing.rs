//! From what a caller asks for to what is recorded: the dataset is looked up, and the prompt composed.

use super::{
    Submission, answer,
    input::{Asked, ImageOptions, request_hash},
};
use crate::{
    domain::{
        caller::Caller,
        id::ImageId,
        prompt::{LONGEST_PROMPT, PromptParts, compose},
        run::{Mode, RunOptions},
        source::ImageSource,
    },
    http::{FieldError, Problem},
    openai::request::MOST_SOURCE_IMAGES,
    postgres::datasets::{self, Found},
};

/// What a caller asks for, read and found to be right in itself.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// Generate or edit.
    pub mode: Mode,
    /// The field that the prompt came in.
    pub prompt_field: &'static str,
    /// What the user typed.
    pub prompt: String,
    /// The options.
    pub options: ImageOptions,
    /// Images to edit, which the caller may use.
    pub sources: Vec<ImageSource>,
    /// A mask of the first of them, which the caller may use.
    pub mask: Option<ImageSource>,
    /// The image that is made again; it is the parent then. Else the first of the sources is.
    pub again: Option<Again>,
    /// The request's body, for the idempotency key.
    pub body: &'a [u8],
}

/// An image that is made again.
#[derive(Clone, Copy, Debug)]
pub struct Again {
    /// Which.
    pub image_id: ImageId,
    /// Whether the dataset is the one that it was made with; where that is gone, it is made without.
    pub saved_dataset: bool,
}

impl Submission {
    /// Makes a request that is ready to become a run.
    ///
    /// # Errors
    /// 404 where the caller may use no such dataset; 400 where the prompt becomes too long. Nothing is cut.
    pub async fn compose(&self, caller: &Caller, mut wish: Wish<'_>) -> Result<Asked, Problem> {
        let room = MOST_SOURCE_IMAGES.saturating_sub(wish.sources.len());
        let dataset = self
            .dataset(caller, &wish, self.max_references.min(room))
            .await?;
        if dataset.is_none() {
            wish.options.dataset_id = None;
        }
        let references = dataset
            .as_ref()
            .map(|found| found.references.clone())
            .unwrap_or_default();
        let context = dataset.map(|found| found.context);
        let parts = PromptParts {
            prompt: &wish.prompt,
            style: wish.options.style.as_deref(),
            dataset: context.as_ref(),
            references: references.len(),
        };
        let resolved_prompt = compose(parts).map_err(|error| {
            Problem::invalid(vec![FieldError::new(
                wish.prompt_field,
                format!("{error}."),
                format!("at most {LONGEST_PROMPT} characters once composed"),
            )])
        })?;
        let elements = context.map(|context| context.used_elements().collect());
        let (parent_image_id, route) = match wish.again {
            Some(Again { image_id, .. }) => (Some(image_id), format!("regenerate {image_id}")),
            None => {
                let first = wish.sources.iter().find_map(|source| source.image_id);
                (first, wish.mode.as_str().to_owned())
            }
        };
        Ok(Asked {
            mode: wish.mode,
            user_prompt: wish.prompt,
            resolved_prompt,
            style_preset: wish.options.style,
            model: wish.options.model,
            asset_kind: wish.options.asset_kind,
            options: RunOptions {
                unique_visual_elements: elements,
                sources: wish.sources,
                mask: wish.mask,
                references,
                ..wish.options.run
            },
            dataset_id: wish.options.dataset_id,
            parent_image_id,
            retry_unknown: wish.options.retry_unknown,
            request_hash: request_hash(&route, wish.body),
        })
    }

    /// The dataset that the caller wants to draw on.
    async fn dataset(
        &self,
        caller: &Caller,
        wish: &Wish<'_>,
        references: usize,
    ) -> Result<Option<Found>, Problem> {
        let Some(id) = wish.options.dataset_id else {
            return Ok(None);
        };
        let scope = answer::scope_of(caller);
        let found = datasets::find_context(&self.database, scope, id, references).await?;
        if found.is_none() && !wish.again.is_some_and(|again| again.saved_dataset) {
            let detail = format!("There is no dataset {id} that you may use.");
            return Err(Problem::not_found("dataset_id", detail));
        }
        Ok(found)
    }
}
