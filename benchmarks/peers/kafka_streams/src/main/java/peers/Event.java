package peers;

import com.fasterxml.jackson.annotation.JsonIgnoreProperties;
import com.fasterxml.jackson.annotation.JsonProperty;

/** One warehouse event, as far as this job needs it. */
@JsonIgnoreProperties(ignoreUnknown = true)
record Event(
    @JsonProperty("event_id") String eventId,
    @JsonProperty("type") String type,
    @JsonProperty("occurred_at") String occurredAt,
    @JsonProperty("item") String item,
    @JsonProperty("location") String location,
    @JsonProperty("quantity") long quantity,
    @JsonProperty("status") String status,
    @JsonProperty("to_status") String toStatus) {}
