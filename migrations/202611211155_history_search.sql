-- Searching the history: full text over what the user typed and what was sent, and likeness for typing errors.
--
-- The generated column makes Postgres write the whole table anew, with its indexes, locked against
-- reading and writing meanwhile: some minutes for a million records. Plan for it where the history is
-- long.

-- What the user typed weighs more than what was sent. What another writer made longer than a text vector takes must not fail its
-- insert.
alter table public.generated_images
    add column if not exists search tsvector generated always as (
        setweight(to_tsvector('english'::regconfig, left(prompt, 32000)), 'A')
        || setweight(to_tsvector('english'::regconfig, left(coalesce(full_prompt, ''), 32000)), 'D')
    ) stored;

comment on column public.generated_images.search is
    'The words of prompt (weight A) and of full_prompt (weight D).';

-- Without a list of pending entries, which each search would have to read through.
create index if not exists idx_generated_images_search
    on public.generated_images using gin (search) with (fastupdate = off);

-- Likeness is pg_trgm's, which a Postgres without its contributed modules lacks: there nothing resembles anything, and a search
-- finds what it finds by words.
do $$
declare
    place text;
begin
    if not exists (select from pg_catalog.pg_extension where extname = 'pg_trgm')
        and exists (select from pg_catalog.pg_available_extensions where name = 'pg_trgm')
    then
        begin
            if to_regnamespace('extensions') is null then
                create extension pg_trgm;
            else
                create extension pg_trgm schema extensions;
            end if;
        exception when insufficient_privilege then
            raise notice 'pg_trgm may not be created here: searches will not forgive typing errors';
        end;
    end if;

    select quote_ident(n.nspname) into place
    from pg_catalog.pg_extension e
    join pg_catalog.pg_namespace n on n.oid = e.extnamespace
    where e.extname = 'pg_trgm';

    execute format(
        'create or replace function public.prompt_resemblance(wanted text, prompt text) returns real
            language sql immutable parallel safe as %L',
        case
            when place is null then 'select 0::real'
            else format('select %s.word_similarity(wanted, prompt)', place)
        end
    );
end
$$;

comment on function public.prompt_resemblance(text, text) is
    'How much the most alike part of the prompt resembles what is wanted, from 0 to 1; 0 where pg_trgm is missing.';

revoke all on function public.prompt_resemblance(text, text) from public, anon, authenticated;
grant execute on function public.prompt_resemblance(text, text) to service_role;
