"""Why each session variable that we do not set changes nothing in what our statements return."""

from __future__ import annotations

from collections.abc import Mapping

# Reason → variables. `cdc_source_mysql.connection` sets the others.
_REASONS: Mapping[str, str] = {
    "applies to statements that write rows or change tables, of which we have none": """
        alter_algorithm auto_increment_increment auto_increment_offset binlog_alter_two_phase
        binlog_annotate_row_events binlog_direct_non_transactional_updates binlog_format binlog_row_image
        binlog_row_value_options binlog_rows_query_log_events binlog_transaction_compression
        binlog_transaction_compression_level_zstd bulk_insert_buffer_size check_constraint_checks
        column_compression_threshold column_compression_zlib_level column_compression_zlib_strategy
        column_compression_zlib_wrap default_storage_engine default_table_encryption
        default_tmp_storage_engine
        enable_cascade_triggers enforce_storage_engine explicit_defaults_for_timestamp
        external_table_secondary_storage_engine external_table_storage_engine foreign_key_checks
        gtid_domain_id
        gtid_next gtid_seq_no identity innodb_compression_default innodb_ddl_buffer_size innodb_ddl_threads
        innodb_default_encryption_key_id innodb_strict_mode insert_id keep_files_on_create last_gtid
        last_insert_id low_priority_updates max_delayed_threads max_insert_delayed_threads
        mhnsw_default_distance mhnsw_default_m new_mode old old_alter_table original_commit_timestamp
        original_server_version immediate_server_version pseudo_replica_mode pseudo_slave_mode
        rbr_exec_mode restrict_fk_on_non_standard_key server_id skip_parallel_replication skip_replication
        sql_generate_invisible_primary_key sql_if_exists sql_log_bin sql_require_primary_key storage_engine
        system_versioning_alter_history system_versioning_insert_history transaction_allow_batching
        unique_checks updatable_views_with_limit wsrep_gtid_seq_no wsrep_on wsrep_osu_method
        wsrep_retry_autocommit wsrep_trx_fragment_size wsrep_trx_fragment_unit xa_detach_on_prepare
        innodb_ft_enable_stopword innodb_ft_user_stopword_table select_into_buffer_size select_into_disk_sync
        select_into_disk_sync_delay sql_slave_skip_counter max_relay_log_size default_master_connection
    """,
    "chooses a plan or its memory, not the rows": """
        big_tables deadlock_search_depth_long deadlock_search_depth_short deadlock_timeout_long
        deadlock_timeout_short enable_secondary_engine_statistics eq_range_index_dive_limit
        expensive_subquery_limit explain_format explain_json_format_version histogram_generation_max_mem_size
        histogram_size histogram_type in_predicate_conversion_threshold innodb_parallel_read_threads
        innodb_tmpdir internal_tmp_mem_storage_engine join_buffer_size join_buffer_space_limit
        join_cache_level max_heap_table_size max_length_for_sort_data max_rowid_filter_size max_seeks_for_key
        mhnsw_ef_search mrr_buffer_size myisam_stats_method aria_stats_method analyze_max_length
        analyze_sample_percentage optimizer_adjust_secondary_key_costs optimizer_extra_pruning_depth
        optimizer_join_limit_pref_ratio optimizer_max_sel_arg_weight optimizer_max_sel_args
        optimizer_max_subgraph_pairs optimizer_prune_level optimizer_scan_setup_cost optimizer_search_depth
        optimizer_selectivity_sampling_limit optimizer_switch optimizer_use_condition_selectivity
        optimizer_where_cost preload_buffer_size query_alloc_block_size query_prealloc_size
        range_alloc_block_size range_optimizer_max_mem_size read_buffer_size read_rnd_buffer_size
        rowid_merge_buff_size secondary_engine_cost_threshold set_operations_buffer_size sort_buffer_size
        tmp_memory_table_size tmp_table_size transaction_alloc_block_size transaction_prealloc_size
        use_stat_tables net_buffer_length net_retry_count tcp_nodelay thread_pool_priority
        connection_memory_chunk_size global_connection_memory_tracking information_schema_stats_expiry
        aria_repair_threads aria_sort_buffer_size myisam_repair_threads myisam_sort_buffer_size
    """,
    "a limit of the server that refuses a statement instead of changing its rows": """
        connection_memory_limit max_allowed_packet max_points_in_geometry max_session_mem_used
        max_sp_recursion_depth max_tmp_session_space_usage max_tmp_tables max_user_connections
        parser_max_mem_size require_row_format tmp_disk_table_size
    """,
    "concerns what the server logs, profiles, traces or warns of": """
        end_markers_in_json error_count log_disabled_statements log_queries_not_using_indexes
        log_slow_admin_statements log_slow_always_query_time log_slow_disabled_statements log_slow_filter
        log_slow_max_warnings log_slow_min_examined_row_limit log_slow_query log_slow_query_time
        log_slow_rate_limit log_slow_slave_statements log_slow_verbosity log_warnings long_query_time
        max_error_count min_examined_row_limit note_verbosity optimizer_trace optimizer_trace_features
        optimizer_trace_limit optimizer_trace_max_mem_size optimizer_trace_offset profiling
        profiling_history_size progress_report_time slow_query_log sql_log_off sql_notes sql_warnings
        statement_id warning_count
    """,
    "tells the client of changed state, if the client asks for it at login, which ours does not": """
        redirect_url resultset_metadata session_track_gtids session_track_schema session_track_state_change
        session_track_system_variables session_track_transaction_info
    """,
    "applies to functions or statements that we do not use": """
        block_encryption_mode cte_max_recursion_depth generated_random_password_length
        max_recursive_iterations old_passwords print_identified_with_as_hex rand_seed1 rand_seed2
        show_create_table_skip_secondary_engine show_create_table_verbosity standard_compliant_cte
        windowing_use_high_precision
    """,
    "is a text of the server's about itself, or the account's": """
        external_user gtid_owned in_transaction proxy_user pseudo_thread_id terminology_use_previous
    """,
    "is of the database or server: statements of ours name character sets, or compare columns": """
        character_set_database character_set_filesystem character_set_server collation_database
        collation_server default_collation_for_utf8mb4
    """,
    "waits until a cluster's node is recent enough, or not: a copy looks at the node's own place": """
        group_replication_consistency wsrep_causal_reads wsrep_sync_wait
    """,
    "applies to rows that are locked for writing, and to table locks, which wait in any case": """
        innodb_snapshot_isolation innodb_table_locks
    """,
    "the moment of a copy's beginning is only shown to people": "timestamp",
    "counts for interactive clients": "interactive_timeout",
    "makes a cached answer wait for locks; answers are not cached": """
        query_cache_strip_comments query_cache_wlock_invalidate
    """,
}
HARMLESS: Mapping[str, str] = {name: reason for reason, names in _REASONS.items() for name in names.split()}
