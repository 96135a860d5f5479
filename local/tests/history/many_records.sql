-- Records as years of use leave them: {rows} of them, always the same ones. One owner has half of all, another a hundredth, a thousand
-- others have the rest but for a tenth without an owner; each column has words that are common, some that are not, and one that is rare.

insert into auth.users (id, email)
select ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'user' || n || '@example.com'
from generate_series(1, 1002) n;

insert into datasets (id, user_id, name)
select user_id, user_id, 'brand'
from (select id as user_id from auth.users) u;

-- The rare dataset of the owner of half of the records.
insert into datasets (id, user_id, name)
select ('00000000-0000-4000-9000-000000000001')::uuid, ('00000000-0000-4000-8000-000000000001')::uuid, 'a new brand';

create function pg_temp.chance(n bigint, salt bigint) returns double precision
language sql immutable as $$ select (hashint8extended(n, salt) & 1048575) / 1048576.0 $$;

-- A word of a made-up language of 60,000, the first of which are by far the most common.
create function pg_temp.word(chance double precision) returns text
language sql immutable as $$
    select (array['ka','lo','mi','ru','ten','vas','por','del','sun','gra'])[1 + w % 10]
        || (array['ra','ni','to','sel','mu','dan','vi','kor','pe','lin'])[1 + w / 10 % 10]
        || (array['s','ta','n','lo','r','mi','k','ve','l','do'])[1 + w / 100 % 10]
        || (array['','ri','nu','ba','sho','ge'])[1 + w / 10000 % 6]
        || (array['','n','x','th','sk','m','rt','f','w','z'])[1 + w / 1000 % 10]
    from (select floor(60000 ^ chance)::integer - 1 as w) numbered
$$;

insert into generated_images (
    user_id, prompt, full_prompt, image_url, dataset_id, style, aspect_ratio, quality, format, resolution, created_at, run_id, model,
    storage_path, width, height, bytes, sha256, cost_usd, mode, asset_kind, favorite)
select
    owner,
    prompt,
    'Brand: Coffee Co. Vibe: cozy. UNIQUE ELEMENTS: wooden tables, pendant lights. SCENE: ' || prompt
        || '. natural light, true-to-life textures and colors, sharp focus',
    'https://project.supabase.co/storage/v1/object/public/generated-images/generated/' || n || '.png',
    case
        when pg_temp.chance(n, 3) < 0.4 then owner
        when owner_number = 1 and n % 20011 = 7 then '00000000-0000-4000-9000-000000000001'::uuid
    end,
    case
        when n % 20021 = 5 then 'linocut'
        when pg_temp.chance(n, 4) < 0.25 then null
        when pg_temp.chance(n, 4) < 0.65 then 'photorealistic'
        when pg_temp.chance(n, 4) < 0.95 then 'watercolor'
        when pg_temp.chance(n, 4) < 0.96 then 'pixel-art'
        else 'in the manner of ' || pg_temp.word(pg_temp.chance(n, 5))
    end,
    case
        when n % 20023 = 5 then '21:9'
        when pg_temp.chance(n, 6) < 0.6 then '1:1'
        when pg_temp.chance(n, 6) < 0.99 then '16:9'
        else '4:5'
    end,
    'standard',
    case when n % 20029 = 5 then 'webp' when pg_temp.chance(n, 7) < 0.9 then 'png' else 'jpg' end,
    case when n % 20047 = 5 then '4K' when pg_temp.chance(n, 8) < 0.8 then '2K' else '1K' end,
    -- Some were made in the same moment.
    timestamptz '2024-01-01 00:00:00Z' + (n - n % 50 * (n % 7 / 6)) * interval '63.07 seconds' * (1000000.0 / {rows}),
    gen_random_uuid(),
    case
        when n % 20051 = 5 then 'gpt-image-1-mini'
        when pg_temp.chance(n, 9) < 0.8 then 'gpt-image-2'
        when pg_temp.chance(n, 9) < 0.99 then 'gpt-image-1.5'
        else 'gpt-image-2.6-flare'
    end,
    'generated/' || n || '.png', 2048, 2048, 4000000 + n % 100000, md5(n::text) || md5((n + 1)::text), 0.107065,
    case when n % 20063 = 5 then 'edit' else 'generate' end,
    case
        when n % 20071 = 5 then 'poster'
        when pg_temp.chance(n, 10) < 0.7 then 'generic'
        when pg_temp.chance(n, 10) < 0.99 then 'hero'
        else 'avatar-' || n % 100
    end,
    -- The second owner marks nearly everything.
    case owner_number when 2 then pg_temp.chance(n, 11) < 0.999 else pg_temp.chance(n, 11) < 0.0005 end
from (
    select
        n,
        owner_number,
        case when owner_number > 0 then ('00000000-0000-4000-8000-' || lpad(owner_number::text, 12, '0'))::uuid end as owner,
        'a ' || pg_temp.word(pg_temp.chance(n, 21)) || ' ' || pg_temp.word(pg_temp.chance(n, 22)) || ' beside the ' || pg_temp.word(pg_temp.chance(n, 23))
            || case when pg_temp.chance(n, 24) < 0.3 then ' at sunset' else ' at ' || pg_temp.word(pg_temp.chance(n, 25)) end
            || case when pg_temp.chance(n, 26) < 0.01 then ', with a lighthouse' else '' end
            || case when n % 20089 = 5 then ', under a zeppelin' else '' end
            || ', ' || pg_temp.word(pg_temp.chance(n, 27)) || ' ' || pg_temp.word(pg_temp.chance(n, 28)) || ' ' || pg_temp.word(pg_temp.chance(n, 29)) as prompt
    from (
        select
            n,
            case
                when pg_temp.chance(n, 1) < 0.5 then 1
                when pg_temp.chance(n, 1) < 0.51 then 2
                when pg_temp.chance(n, 1) < 0.9 then 3 + floor(pg_temp.chance(n, 2) * 1000)::integer
                else 0
            end as owner_number
        from generate_series(1::bigint, {rows}) n
    ) numbered
) described;

drop function pg_temp.chance(bigint, bigint);
drop function pg_temp.word(double precision);
analyze;
