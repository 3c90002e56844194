"""`atp translate`: raw messages become events and statements, in a dataflow of its own, each line accounted for.

words      what its steps pass on
shared     what its steps know together: tables of aliases, how each source is read, whether it is to end
source     reads aliases first, then raw messages, from where the last snapshot stands
steps      the aliases with what waits for them; what facts become by shards; the account of each message
sink       writes events, then accounts, then lets the snapshot be made
graph      how the steps hang together
run        one process of it, from its lock to its end
folder     the folder in which it keeps what it remembers
again      sends raw messages again, to be replayed or redone
metrics    what is measured of it, and where that is served
"""
