from flows.publishing.messages cimport position_json
