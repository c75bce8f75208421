"""The names of the server's own functions: what a statement may call without reaching a stored function.

Only those that MySQL 5.7 and MariaDB 10.5 have already, without the few that people write themselves where
the server lacks them (NVL, TO_CHAR, …): a name that is missing here makes a statement suspect, no more.
"""

from __future__ import annotations

from typing import Final

NATIVE_FUNCTIONS: Final = frozenset(
    """
    abs acos adddate addtime aes_decrypt aes_encrypt any_value ascii asin atan atan2 avg benchmark bin
    bit_and bit_count bit_length bit_or bit_xor cast ceil ceiling char character_length charset char_length
    coalesce coercibility collation compress concat concat_ws connection_id conv convert convert_tz cos cot
    count crc32 curdate current_date current_time current_timestamp current_user curtime database date
    datediff date_add date_format date_sub day dayname dayofmonth dayofweek dayofyear default degrees elt exp
    export_set extract extractvalue field find_in_set floor format found_rows from_base64 from_days
    from_unixtime get_format get_lock greatest group_concat gtid_subset gtid_subtract hex hour if ifnull
    inet6_aton inet6_ntoa inet_aton inet_ntoa insert instr interval isnull is_free_lock is_ipv4
    is_ipv4_compat is_ipv4_mapped is_ipv6 is_used_lock is_uuid bin_to_uuid uuid_to_bin
    json_array json_arrayagg json_array_append json_array_insert json_contains json_contains_path json_depth
    json_extract json_insert json_keys json_length json_merge json_merge_patch json_merge_preserve
    json_object json_objectagg json_pretty json_quote json_remove json_replace json_search json_set
    json_storage_size json_table json_type json_unquote json_valid json_value
    last_day last_insert_id lastval lcase least left length ln load_file localtime localtimestamp locate log
    log10 log2 lower lpad ltrim makedate maketime make_set match max mbrcontains mbrequals mbrintersects
    mbroverlaps mbrtouches mbrwithin md5 microsecond mid min minute mod month monthname name_const nextval
    now nullif oct octet_length ord password period_add period_diff pi position pow power quarter quote
    radians rand random_bytes regexp_instr regexp_like regexp_replace regexp_substr release_all_locks
    release_lock repeat replace reverse right round row_count rpad rtrim schema second sec_to_time
    session_user setval sha sha1 sha2 sign sin sleep soundex space sqrt std stddev stddev_pop stddev_samp
    strcmp str_to_date subdate substr substring substring_index subtime sum sysdate system_user tan time
    timediff timestamp timestampadd timestampdiff time_format time_to_sec to_base64 to_days to_seconds trim
    truncate ucase uncompress uncompressed_length unhex unix_timestamp updatexml upper user utc_date utc_time
    utc_timestamp uuid uuid_short values variance var_pop var_samp version week weekday weekofyear
    weight_string year yearweek
    cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank row_number
    geometrycollection linestring multilinestring multipoint multipolygon point polygon
    st_area st_asbinary st_asgeojson st_astext st_aswkb st_aswkt st_buffer st_centroid st_contains
    st_convexhull st_crosses st_difference st_dimension st_disjoint st_distance st_distance_sphere
    st_endpoint st_envelope st_equals st_exteriorring st_geohash st_geometryfromtext st_geometryfromwkb
    st_geometryn st_geometrytype st_geomfromgeojson st_geomfromtext st_geomfromwkb st_interiorringn
    st_intersection st_intersects st_isclosed st_isempty st_issimple st_isvalid st_length st_linefromtext
    st_makeenvelope st_numgeometries st_numinteriorrings st_numpoints st_overlaps st_pointfromtext
    st_pointfromwkb st_pointn st_polyfromtext st_simplify st_srid st_startpoint st_symdifference st_touches
    st_transform st_union st_validate st_within st_x st_y
    """.upper().split()
)

# Words of the grammar that an opening parenthesis may follow.
GRAMMAR_WORDS: Final = frozenset(
    """
    against all and any as asc between binary by case char character collate cross dec decimal desc distinct
    distinctrow div double else escape except exists float for from group having in index inner intersect
    into is join key lateral like limit match mod natural nchar not of on or order over partition primary
    regexp returning rlike row select set signed some straight_join table then time datetime union unsigned
    using value values varchar when where with xor
    """.upper().split()
)
