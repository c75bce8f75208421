"""The DDL campaign: writers that follow whatever the schema is, a migrator that draws from the migrations of
real applications, and the verdict on mirror and lake.
"""
