package peers;

import com.fasterxml.jackson.annotation.JsonProperty;

/** One number that changed. */
record Update(
    @JsonProperty("item") String item,
    @JsonProperty("channel") String channel,
    @JsonProperty("atp") long atp,
    @JsonProperty("previous") long previous,
    @JsonProperty("cause") String cause,
    @JsonProperty("as_of") String asOf,
    @JsonProperty("processed_at") String processedAt,
    @JsonProperty("version") long version) {}
