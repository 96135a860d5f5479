-- For a caller who waits: the state of a run now or, where it has not ended, a moment later.
--
-- A client that asks three times a second would notice the end of a run up to 330 ms late. Looking
-- twice within one request halves that without a second round trip. The function is volatile, so
-- each look has a snapshot of its own.

create or replace function public.await_run_end(run uuid, look_again_after double precision)
returns text
language plpgsql
volatile
set search_path = ''
as $$
declare
    seen text;
begin
    select r.status into seen from public.ai_image_runs r where r.id = run;
    if not found or seen in ('succeeded', 'failed', 'canceled') then
        return seen;
    end if;

    -- A connection is not to be held longer than a moment, whatever was asked for.
    perform pg_catalog.pg_sleep(least(greatest(look_again_after, 0), 5));
    select r.status into seen from public.ai_image_runs r where r.id = run;
    return seen;
end
$$;

comment on function public.await_run_end(uuid, double precision) is
    'Status of a run; looks once more after that many seconds (at most 5) where it has not ended. Null: no such run.';

revoke all on function public.await_run_end(uuid, double precision) from public, anon, authenticated;
grant execute on function public.await_run_end(uuid, double precision) to service_role;
