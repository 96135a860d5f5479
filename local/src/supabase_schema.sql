-- What a plain Postgres lacks of Supabase: the roles, and the schema `auth`. Applied by `local`
-- before the migrations, never by a migration; can be applied again, and by several at once.

select pg_advisory_xact_lock(7236837165120901);

do $$
declare
    wanted record;
begin
    for wanted in
        select *
        from (values
            ('anon', 'nologin noinherit'),
            ('authenticated', 'nologin noinherit'),
            ('service_role', 'nologin noinherit bypassrls')
        ) as role (name, attributes)
    loop
        if exists (select from pg_catalog.pg_roles where rolname = wanted.name) then
            continue;
        end if;
        begin
            execute format('create role %I %s', wanted.name, wanted.attributes);
        exception when duplicate_object or unique_violation then
            -- Roles belong to the whole server: another database was set up at the same time.
            null;
        end;
    end loop;
end
$$;

create schema if not exists auth;
create schema if not exists extensions;
grant usage on schema public, auth, extensions to anon, authenticated, service_role;

create table if not exists auth.users (
    id uuid primary key default gen_random_uuid(),
    aud text default 'authenticated',
    role text default 'authenticated',
    email text unique,
    raw_app_meta_data jsonb not null default '{}',
    raw_user_meta_data jsonb not null default '{}',
    is_anonymous boolean not null default false,
    last_sign_in_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);
grant all on auth.users to service_role;

create or replace function auth.jwt() returns jsonb
language sql stable
as $$
    select nullif(current_setting('request.jwt.claims', true), '')::jsonb
$$;

create or replace function auth.uid() returns uuid
language sql stable
as $$
    select nullif(auth.jwt() ->> 'sub', '')::uuid
$$;

create or replace function auth.role() returns text
language sql stable
as $$
    select auth.jwt() ->> 'role'
$$;

create or replace function auth.email() returns text
language sql stable
as $$
    select auth.jwt() ->> 'email'
$$;

grant execute on function auth.jwt(), auth.uid(), auth.role(), auth.email()
    to anon, authenticated, service_role;
