from flows.publishing.messages cimport address, update_json
