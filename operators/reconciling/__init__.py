"""The statements' side of a shard: judges rows of its items, keeps what differs, withholds and corrects; no IO.

Rule 1: a row is judged once, as of its as_of; of one that agrees only its fingerprint stays, among the shard's ids.
Rule 2: nothing is written of a statement before its verdict. What is written then follows from what is kept.
Rule 3: what is withheld is compared with what the item's own state says is withheld, and asked for until both are
        equal: so no crash leaves a hold behind, nor one out.

    rows ─► closing ─► naming ─► verdicts ─┬─► standing (what follows, and what is withheld)
                        people's decisions ┘        every word that is said goes out through the desk
"""
