/* The JSON Schema of the fleet file: docs/fleet.schema.json, compiled in. */
#pragma once

/* The schema's text. */
const char *schema_text(void);
