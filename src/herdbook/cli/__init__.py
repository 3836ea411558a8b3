"""The command line: a door like the server, one file a noun, nothing imported before its time."""
