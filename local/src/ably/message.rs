//! What a publish may contain, checked before anything of it is stored.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{error::ErrorInfo, grant::Grant};

/// Ably's limit for one publish: names, data, client ids and extras of all its messages, in bytes.
pub(super) const MAX_PUBLISH_BYTES: usize = 65_536;

/// One message as a client sends it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Draft {
    pub(super) id: Option<String>,
    pub(super) name: Option<String>,
    pub(super) data: Option<Value>,
    pub(super) encoding: Option<String>,
    pub(super) client_id: Option<String>,
    pub(super) extras: Option<Map<String, Value>>,
}

/// A checked publish: at least one message, all stored or none.
#[derive(Debug)]
pub(super) struct Publish {
    pub(super) drafts: Vec<Draft>,
    /// What a repetition is known by, when the client chose ids.
    pub(super) idempotency_key: Option<String>,
}

impl Publish {
    /// Reads the body of a REST publish or the messages of a realtime frame: one message or an array.
    pub(super) fn parse(body: Value, grant: &Grant) -> Result<Self, ErrorInfo> {
        let messages = match body {
            Value::Array(messages) => messages,
            message => vec![message],
        };
        if messages.is_empty() {
            return Err(ErrorInfo::new(
                40030,
                400,
                "Invalid publish request: no messages",
            ));
        }
        let mut drafts = messages
            .into_iter()
            .map(draft)
            .collect::<Result<Vec<_>, _>>()?;
        for draft in &mut drafts {
            take_client_id(draft, grant)?;
        }
        let size: usize = drafts.iter().map(size).sum();
        if size > MAX_PUBLISH_BYTES {
            return Err(ErrorInfo::new(40009, 400, too_long(size)));
        }
        let idempotency_key = idempotency_key(&drafts)?;
        Ok(Self {
            drafts,
            idempotency_key,
        })
    }
}

fn draft(message: Value) -> Result<Draft, ErrorInfo> {
    let mut draft: Draft = serde_json::from_value(message)
        .map_err(|error| ErrorInfo::new(40001, 400, format!("Invalid request body: {error}")))?;
    match &draft.data {
        None | Some(Value::Null | Value::String(_)) => {}
        Some(structured @ (Value::Object(_) | Value::Array(_))) if draft.encoding.is_none() => {
            draft.data = Some(Value::String(structured.to_string()));
            draft.encoding = Some("json".to_owned());
        }
        Some(_) => {
            return Err(ErrorInfo::new(
                40013,
                400,
                "Invalid message data or encoding",
            ));
        }
    }
    Ok(draft)
}

/// A token for one client publishes in that client's name only.
fn take_client_id(draft: &mut Draft, grant: &Grant) -> Result<(), ErrorInfo> {
    let Some(own) = &grant.client_id else {
        return Ok(());
    };
    if draft.client_id.as_ref().is_some_and(|given| given != own) {
        let message = "Malformed message; mismatched clientId";
        return Err(ErrorInfo::new(40012, 400, message));
    }
    draft.client_id = Some(own.clone());
    Ok(())
}

/// Messages published together have one idempotency key, so their ids must be `<base>:<index>`; Ably refuses any other.
fn idempotency_key(drafts: &[Draft]) -> Result<Option<String>, ErrorInfo> {
    let refused = |message: &str| {
        Err(ErrorInfo::new(
            40031,
            400,
            format!("Invalid publish request: {message}"),
        ))
    };
    let ids: Vec<&str> = drafts
        .iter()
        .filter_map(|draft| draft.id.as_deref())
        .collect();
    if ids.iter().any(|id| id.is_empty()) {
        return refused("Client-specified message id cannot be empty");
    }
    if ids.is_empty() {
        return Ok(None);
    }
    if let ([id], 1) = (&ids[..], drafts.len()) {
        return Ok(Some((*id).to_owned()));
    }
    let base = ids[0].strip_suffix(":0");
    let follow_the_form = base.is_some_and(|base| {
        ids.len() == drafts.len()
            && ids
                .iter()
                .enumerate()
                .all(|(index, id)| **id == format!("{base}:{index}"))
    });
    if !follow_the_form {
        return refused(
            "Client-specified message ids do not match the required format for multi-message ProtocolMessages",
        );
    }
    Ok(base.map(str::to_owned))
}

fn size(draft: &Draft) -> usize {
    let text = |value: &Option<String>| value.as_ref().map_or(0, String::len);
    let data = match &draft.data {
        Some(Value::String(data)) => data.len(),
        _ => 0,
    };
    let extras = draft
        .extras
        .as_ref()
        .map_or(0, |extras| Value::Object(extras.clone()).to_string().len());
    text(&draft.name) + text(&draft.client_id) + data + extras
}

fn too_long(size: usize) -> String {
    format!(
        "Maximum message length exceeded. Message size {size} bytes is over the limit of {MAX_PUBLISH_BYTES} bytes"
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ably::capability::Capability;

    fn grant(client_id: Option<&str>) -> Grant {
        Grant {
            capability: Capability::everything(),
            client_id: client_id.map(str::to_owned),
            expires: None,
        }
    }

    #[test]
    fn what_a_repetition_is_known_by() {
        for (body, expected) in [
            (json!({"name": "a"}), Ok(None)),
            (json!({"id": "run-1"}), Ok(Some("run-1"))),
            (json!([{"id": "run-1"}]), Ok(Some("run-1"))),
            (
                json!([{"id": "run-1:0"}, {"id": "run-1:1"}]),
                Ok(Some("run-1")),
            ),
            (json!([{}, {}]), Ok(None)),
            (json!([{"id": "run-1"}, {"id": "run-2"}]), Err(40031)),
            (json!([{"id": "run-1:0"}, {}]), Err(40031)),
            (json!({"id": ""}), Err(40031)),
            (json!([]), Err(40030)),
            (json!(["text"]), Err(40001)),
            (json!({"name": 1}), Err(40001)),
            (json!({"data": 1}), Err(40013)),
            (json!({"data": "a".repeat(MAX_PUBLISH_BYTES)}), Ok(None)),
            (
                json!({"name": "n", "data": "a".repeat(MAX_PUBLISH_BYTES)}),
                Err(40009),
            ),
        ] {
            let outcome = Publish::parse(body.clone(), &grant(None));
            let key = outcome
                .map(|publish| publish.idempotency_key)
                .map_err(|error| error.code);
            assert_eq!(
                key,
                expected.map(|key| key.map(str::to_owned)),
                "{:.80}",
                body.to_string()
            );
        }
    }

    #[test]
    fn a_token_for_one_client_speaks_for_that_client() {
        let publish = Publish::parse(json!({"name": "a"}), &grant(Some("me"))).unwrap();
        assert_eq!(publish.drafts[0].client_id.as_deref(), Some("me"));
        let other = Publish::parse(json!({"clientId": "you"}), &grant(Some("me")));
        assert_eq!(other.unwrap_err().code, 40012);
    }

    #[test]
    fn structured_data_becomes_json_text() {
        let publish = Publish::parse(json!({"data": {"a": 1}}), &grant(None)).unwrap();
        assert_eq!(publish.drafts[0].data, Some(json!("{\"a\":1}")));
        assert_eq!(publish.drafts[0].encoding.as_deref(), Some("json"));
    }
}
