//! The stand-in's test users in `auth.users`, to which the tables refer.

use anyhow::Context;

use crate::{postgres, supabase::Supabase};

/// Adds both users; who had their addresses before, in an earlier data directory, keeps their rows without them.
pub(super) async fn insert(database_url: &str, supabase: &Supabase) -> anyhow::Result<()> {
    let client = postgres::connect(database_url)
        .await
        .context("the database cannot be reached")?;
    for user in [supabase.user(), supabase.other_user()] {
        client
            .execute(
                "update auth.users set email = null where email = $1 and id <> $2",
                &[&user.email, &user.id],
            )
            .await
            .context("auth.users cannot be written")?;
        client
            .execute(
                "insert into auth.users (id, email, aud, role) values ($1, $2, 'authenticated', 'authenticated') \
                 on conflict (id) do nothing",
                &[&user.id, &user.email],
            )
            .await
            .context("the test users cannot be added to auth.users")?;
    }
    Ok(())
}
