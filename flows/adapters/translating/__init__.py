"""Other systems' messages: how the settings say that they are read, and what files of them would become.

mappings   the mappings that come with the program, and those in files
readers    a source's settings as what an adapter has to know
aliases    a file of aliases, as the reference topic has them
dry_run    what files would become, line by line
view       the same for people and for scripts
"""
