"""Translation between foreign payloads and core values. No input or output."""
