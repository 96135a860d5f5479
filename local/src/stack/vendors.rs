//! OpenAI, Supabase and Ably: stand-ins, or the real ones by name.

use std::collections::BTreeMap;

use anyhow::bail;

use super::{DatabaseChoice, ReadyUser, StackOptions, ports::Ports};
use crate::{
    ably::Ably,
    openai,
    supabase::{Supabase, TestUser, TokenClaims},
};

/// Who answers for a vendor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Vendor {
    /// The real one, with its key in the environment.
    Live,
    /// The one in this crate.
    #[default]
    StandIn,
}

/// The stand-ins that run; `None` for a vendor that is live.
#[derive(Debug)]
pub(super) struct Vendors {
    pub(super) openai: Option<openai::Running>,
    pub(super) supabase: Option<Supabase>,
    pub(super) ably: Option<Ably>,
}

/// A live vendor needs its settings.
pub(super) fn check(options: &StackOptions) -> anyhow::Result<()> {
    let is_set = |name: &str| {
        options
            .settings
            .get(name)
            .is_some_and(|value| !value.is_empty())
    };
    for (flag, vendor, names) in [
        ("openai", options.openai, &["OPENAI_API_KEY"][..]),
        (
            "supabase",
            options.supabase,
            &["SUPABASE_URL", "SUPABASE_SECRET_KEY"],
        ),
        ("ably", options.ably, &["ABLY_API_KEY"]),
    ] {
        if vendor == Vendor::StandIn {
            continue;
        }
        let mut missing: Vec<_> = names.iter().copied().filter(|name| !is_set(name)).collect();
        // Runs refer to Supabase's own users, who are in its own database.
        if flag == "supabase" && matches!(options.database, DatabaseChoice::Own { .. }) {
            missing.push("DATABASE_URL");
        }
        if !missing.is_empty() {
            bail!(
                "--{flag} live needs {} in the environment",
                missing.join(" and ")
            );
        }
    }
    Ok(())
}

impl Vendors {
    pub(super) async fn start(options: &StackOptions, ports: &Ports) -> anyhow::Result<Self> {
        let mut vendors = Self {
            openai: None,
            supabase: None,
            ably: None,
        };
        if options.openai == Vendor::StandIn {
            vendors.openai = Some(openai::start(ports.bind("openai").await?)?);
        }
        if options.supabase == Vendor::StandIn {
            let listener = ports.bind("supabase").await?;
            let data_dir = options.data_dir.join("supabase");
            vendors.supabase = Some(Supabase::start(listener, data_dir).await?);
        }
        if options.ably == Vendor::StandIn {
            let listener = ports.bind("ably").await?;
            vendors.ably = Some(Ably::start(listener, None).await?);
        }
        Ok(vendors)
    }

    pub(super) fn supabase_url(&self, settings: &BTreeMap<String, String>) -> String {
        let live = settings.get("SUPABASE_URL").cloned().unwrap_or_default();
        let stand_in = self.supabase.as_ref().map(|one| one.url().to_owned());
        stand_in.unwrap_or(live)
    }

    pub(super) fn storage_url(&self, settings: &BTreeMap<String, String>) -> String {
        let supabase_url = self.supabase_url(settings);
        format!("{}/storage/v1", supabase_url.trim_end_matches('/'))
    }

    pub(super) fn openai_url(&self, settings: &BTreeMap<String, String>) -> String {
        if let Some(stand_in) = &self.openai {
            return stand_in.url();
        }
        let base = settings.get("OPENAI_BASE_URL").map(String::as_str);
        let base = base.unwrap_or("https://api.openai.com/v1");
        base.trim_end_matches('/')
            .trim_end_matches("/v1")
            .to_owned()
    }

    pub(super) fn ably_url(&self, settings: &BTreeMap<String, String>) -> String {
        if let Some(stand_in) = &self.ably {
            return stand_in.url();
        }
        let base = settings.get("ABLY_BASE_URL").map(String::as_str);
        base.unwrap_or("https://main.realtime.ably.net").to_owned()
    }

    /// A user of the stand-in with a token that is good for a week.
    pub(super) fn ready_user(
        &self,
        user: impl FnOnce(&Supabase) -> &TestUser,
    ) -> anyhow::Result<ReadyUser> {
        let Some(supabase) = &self.supabase else {
            return Ok(ReadyUser::default());
        };
        let user = user(supabase);
        Ok(ReadyUser {
            id: user.id.to_string(),
            token: supabase.token(&TokenClaims::of(user))?,
        })
    }
}
