//! Who calls, and what that lets them see.

use sha2::{Digest, Sha256};

use super::id::UserId;

/// The party behind a request, after its token was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A signed-in user of the application.
    User(UserId),
    /// Nobody in particular; told apart only by where the request came from.
    Anonymous {
        /// SHA-256 of the caller's network address in hex: enough to count by, not an address to keep.
        address_hash: String,
    },
    /// The application's own backend, with the service role: sees every owner's rows.
    Service,
}

impl Caller {
    /// An anonymous caller at a network address. The address itself is forgotten here.
    pub fn anonymous(address: &str) -> Self {
        let digest = Sha256::digest(address.as_bytes());
        let address_hash = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self::Anonymous { address_hash }
    }

    /// The owner that rows made by this caller get: null for anonymous callers and for the service role.
    pub fn owner(&self) -> Option<UserId> {
        match self {
            Self::User(id) => Some(*id),
            Self::Anonymous { .. } | Self::Service => None,
        }
    }

    /// The key that idempotency keys and daily quotas are counted under.
    pub fn key(&self) -> String {
        match self {
            Self::User(id) => format!("user:{id}"),
            Self::Anonymous { address_hash } => format!("address:{address_hash}"),
            Self::Service => "service".to_owned(),
        }
    }
}

/// What an anonymous caller sees of the history (setting `ANONYMOUS_HISTORY`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnonymousHistory {
    /// Records without an owner.
    Anonymous,
    /// Every record: no filter by user, as the first version of the history had it.
    All,
    /// Nothing: 401.
    None,
}

/// The rows that a request may read; every `SELECT` carries one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Rows of this owner.
    Owner(UserId),
    /// Rows without an owner.
    Ownerless,
    /// Every row.
    Everything,
}

impl Scope {
    /// What a caller may list; `None` when the caller must sign in first.
    pub fn of_history(caller: &Caller, setting: AnonymousHistory) -> Option<Self> {
        match (caller, setting) {
            (Caller::User(id), _) => Some(Self::Owner(*id)),
            (Caller::Service, _) => Some(Self::Everything),
            (Caller::Anonymous { .. }, AnonymousHistory::Anonymous) => Some(Self::Ownerless),
            (Caller::Anonymous { .. }, AnonymousHistory::All) => Some(Self::Everything),
            (Caller::Anonymous { .. }, AnonymousHistory::None) => None,
        }
    }

    /// The name under which SQL statements take this scope as a parameter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Owner(_) => "owner",
            Self::Ownerless => "ownerless",
            Self::Everything => "everything",
        }
    }

    /// The owner to compare with, for [`Scope::Owner`].
    pub fn owner(self) -> Option<UserId> {
        match self {
            Self::Owner(id) => Some(id),
            Self::Ownerless | Self::Everything => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn history_scope_follows_the_caller_and_the_setting() {
        let user = UserId(Uuid::from_u128(1));
        let table = [
            (
                Caller::User(user),
                AnonymousHistory::None,
                Some(Scope::Owner(user)),
            ),
            (
                Caller::User(user),
                AnonymousHistory::All,
                Some(Scope::Owner(user)),
            ),
            (
                Caller::anonymous("192.0.2.1"),
                AnonymousHistory::Anonymous,
                Some(Scope::Ownerless),
            ),
            (
                Caller::anonymous("192.0.2.1"),
                AnonymousHistory::All,
                Some(Scope::Everything),
            ),
            (Caller::anonymous("192.0.2.1"), AnonymousHistory::None, None),
            (
                Caller::Service,
                AnonymousHistory::None,
                Some(Scope::Everything),
            ),
        ];
        for (caller, setting, expected) in table {
            assert_eq!(
                Scope::of_history(&caller, setting),
                expected,
                "{caller:?} {setting:?}"
            );
        }
    }

    #[test]
    fn an_anonymous_key_does_not_contain_the_address() {
        let key = Caller::anonymous("192.0.2.77").key();
        assert!(key.starts_with("address:") && !key.contains("192"), "{key}");
        assert_ne!(key, Caller::anonymous("192.0.2.78").key());
    }
}
