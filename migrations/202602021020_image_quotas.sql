-- How many images a caller has used or reserved on a day. One row a caller and day, so that a
-- reservation is one upsert that parallel requests cannot overshoot.

create table if not exists public.image_quotas (
    caller_key text not null,
    day date not null,
    used integer not null check (used >= 0),
    primary key (caller_key, day)
);

-- Old days are deleted by day.
create index if not exists idx_image_quotas_day on public.image_quotas (day);

comment on table public.image_quotas is 'Images used or reserved by a caller on a day (UTC).';
comment on column public.image_quotas.caller_key is
    'user:<uuid>, or address:<SHA-256 of an anonymous caller''s address>.';

-- No policy: only the backend has anything to do here.
alter table public.image_quotas enable row level security;
revoke all on public.image_quotas from anon, authenticated;
grant all on public.image_quotas to service_role;
