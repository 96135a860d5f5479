//! Which operations a key or token allows on which channels.

use std::collections::BTreeMap;

use serde_json::Value;

use super::error::ErrorInfo;

/// Resources (channel names, with `*` as a wildcard) and the operations allowed on each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Capability(BTreeMap<String, Vec<String>>);

impl Capability {
    /// What a whole key may do: everything.
    pub(super) fn everything() -> Self {
        Self(BTreeMap::from([("*".to_owned(), vec!["*".to_owned()])]))
    }

    /// Reads the JSON text that tokens carry.
    pub(super) fn parse(text: &str) -> Result<Self, ErrorInfo> {
        let invalid = || ErrorInfo::bad_request(format!("invalid capability: {text}"));
        let Ok(Value::Object(resources)) = serde_json::from_str::<Value>(text) else {
            return Err(invalid());
        };
        resources
            .into_iter()
            .map(|(resource, operations)| {
                Ok((
                    resource,
                    serde_json::from_value(operations).map_err(|_| invalid())?,
                ))
            })
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether `operation` is allowed on `channel` by any of the resources.
    pub(super) fn allows(&self, operation: &str, channel: &str) -> bool {
        self.0.iter().any(|(resource, operations)| {
            covers(resource, channel)
                && operations
                    .iter()
                    .any(|allowed| allowed == "*" || allowed == operation)
        })
    }

    pub(super) fn require(&self, operation: &str, channel: &str) -> Result<(), ErrorInfo> {
        if self.allows(operation, channel) {
            return Ok(());
        }
        Err(ErrorInfo::not_permitted(operation, channel))
    }

    /// The canonical text: keys sorted, operations sorted, no white space.
    pub(super) fn canonical(&self) -> String {
        let mut resources = self.0.clone();
        resources
            .values_mut()
            .for_each(|operations| operations.sort());
        serde_json::to_string(&resources).unwrap_or_default()
    }
}

/// A `*` stands for one segment between colons, a trailing one for all the segments that follow.
fn covers(resource: &str, channel: &str) -> bool {
    if resource == "*" {
        return true;
    }
    let mut wanted = resource.split(':').peekable();
    let mut given = channel.split(':');
    while let Some(segment) = wanted.next() {
        let Some(name) = given.next() else {
            return false;
        };
        if segment == "*" && wanted.peek().is_none() {
            return true;
        }
        if segment != "*" && segment != name {
            return false;
        }
    }
    given.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards() {
        for (resource, channel, expected) in [
            ("*", "ai:image:1", true),
            ("ai:*", "ai:image:1", true),
            ("ai:*", "ai", false),
            ("ai:*", "other:image", false),
            ("ai:image:1", "ai:image:1", true),
            ("ai:image:1", "ai:image:2", false),
            ("ai:image:1", "ai:image:1:more", false),
            ("ai:*:1", "ai:image:1", true),
            ("ai:*:1", "ai:image:2", false),
        ] {
            assert_eq!(
                covers(resource, channel),
                expected,
                "{resource} for {channel}"
            );
        }
    }

    #[test]
    fn operations() {
        let capability =
            Capability::parse(r#"{"ai:*":["subscribe","history"],"b":["*"]}"#).unwrap();
        assert!(capability.allows("subscribe", "ai:image:1"));
        assert!(!capability.allows("publish", "ai:image:1"));
        assert!(capability.allows("publish", "b"));
        assert_eq!(
            capability.require("publish", "ai:1").unwrap_err().code,
            40160
        );
        assert_eq!(
            capability.canonical(),
            r#"{"ai:*":["history","subscribe"],"b":["*"]}"#
        );
        assert!(Capability::parse("[]").is_err());
    }
}
