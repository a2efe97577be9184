{{ no_source() }}
