-- What analytics adds up, beside each run: how often the vendor was asked, which tokens it counted,
-- and whether a cost is missing. These lie in JSON, and reading that takes a minute for a million runs.
--
-- Adding stored columns rewrites the table and locks it meanwhile: about a minute for a million
-- runs, the index among it; nothing for a new table. They are generated, so no writer can forget them.

-- Runs within every write, so it never fails, whatever another writer has put into the table. A
-- loop, since a query within a function costs ten times as much.
create or replace function public.ai_image_run_tokens(attempts jsonb, response_metadata jsonb, kind text[])
returns integer
language plpgsql
immutable
parallel safe
set search_path = ''
as $$
declare
    tokens jsonb;
    counted numeric;
begin
    if pg_catalog.jsonb_typeof(attempts) = 'array' then
        for at in 0 .. pg_catalog.jsonb_array_length(attempts) - 1 loop
            tokens := attempts -> at -> 'usage' #> kind;
            if pg_catalog.jsonb_typeof(tokens) = 'number' then
                counted := coalesce(counted, 0) + tokens::numeric;
            end if;
        end loop;
    end if;
    -- An older writer kept the usage with the answer only.
    if counted is null then
        tokens := response_metadata -> 'usage' #> kind;
        if pg_catalog.jsonb_typeof(tokens) = 'number' then
            counted := tokens::numeric;
        end if;
    end if;
    if counted is null then
        return null;
    end if;
    return pg_catalog.trunc(least(greatest(counted, 0), 2147483647))::integer;
end
$$;

comment on function public.ai_image_run_tokens(jsonb, jsonb, text[]) is
    'Tokens of one kind that the attempts of a run were counted with; null where none says. Whoever writes a run must be able to execute it.';

-- One statement, so that the table is rewritten once.
alter table public.ai_image_runs
    add column if not exists attempt_count integer
        generated always as (
            case when jsonb_typeof(attempts) = 'array' then jsonb_array_length(attempts) else 0 end
        ) stored,
    add column if not exists input_tokens integer
        generated always as (public.ai_image_run_tokens(attempts, response_metadata, '{input_tokens}')) stored,
    add column if not exists input_text_tokens integer
        generated always as (
            public.ai_image_run_tokens(attempts, response_metadata, '{input_tokens_details,text_tokens}')
        ) stored,
    add column if not exists input_image_tokens integer
        generated always as (
            public.ai_image_run_tokens(attempts, response_metadata, '{input_tokens_details,image_tokens}')
        ) stored,
    add column if not exists output_tokens integer
        generated always as (public.ai_image_run_tokens(attempts, response_metadata, '{output_tokens}')) stored,
    add column if not exists total_tokens integer
        generated always as (public.ai_image_run_tokens(attempts, response_metadata, '{total_tokens}')) stored,
    add column if not exists cost_unknown boolean
        generated always as (
            cost_usd is null
            and (status = 'succeeded' or jsonb_path_exists(attempts, '$[*] ? (!(@.billed == "no"))'))
        ) stored,
    -- What another writer made longer than an index takes must not fail its insert.
    add column if not exists style_short text generated always as (left(style_preset, 200)) stored;

comment on column public.ai_image_runs.attempt_count is 'How often the vendor was asked.';
comment on column public.ai_image_runs.input_tokens is
    'Tokens of all attempts together, as the vendor counted them; null where it said nothing. So are the four beside it.';
comment on column public.ai_image_runs.cost_unknown is
    'Something was, or may have been, billed, and cost_usd is null.';

comment on column public.ai_image_runs.style_short is 'The style, as far as Darkroom takes one: 200 characters.';

-- All that analytics reads of runs that have ended, so that it need not read the runs. An entry is
-- written once, when a run ends; the few that have not ended are found by idx_ai_image_runs_unfinished.
create index if not exists idx_ai_image_runs_figures
    on public.ai_image_runs (owner_user_id, created_at)
    include (
        status, completed_at, model, style_short, dataset_id, asset_kind, cost_usd, cost_unknown,
        attempt_count, input_tokens, input_text_tokens, input_image_tokens, output_tokens, total_tokens
    )
    where status in ('succeeded', 'failed', 'canceled');

-- The visual elements of an owner's images, to be counted without reading the images. What is too
-- long for an index is in the second one, and read from the table: it must not fail its insert.
create index if not exists idx_generated_images_elements
    on public.generated_images (user_id, created_at) include (unique_visual_elements)
    where unique_visual_elements is not null and octet_length(unique_visual_elements::text) <= 400;
create index if not exists idx_generated_images_long_elements
    on public.generated_images (user_id, created_at)
    where unique_visual_elements is not null and octet_length(unique_visual_elements::text) > 400;

-- Without it the planner takes a third of all images for long ones, and reads the whole table.
create statistics if not exists public.generated_images_elements_length
    on (octet_length(unique_visual_elements::text)) from public.generated_images;
