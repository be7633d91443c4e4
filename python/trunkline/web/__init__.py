"""What the browser loads: `sdk/` (ES modules that speak our WebSocket) and `phone/` (the page built on them)."""
