// A request as a command that asks the same.

/** Characters from which a body may have been cut: what `traffic_log_debug` keeps of one. */
export const BODY_KEPT = 65536;

const says = (content) => [{ role: "user", content }];

/** Where each dialect's operations are asked for, and an outline of a body that does. */
const ROUTES = {
  "openai chat": ["/v1/chat/completions", { messages: says("…") }],
  "openai completions": ["/v1/completions", { prompt: "…" }],
  "openai embeddings": ["/v1/embeddings", { input: "…" }],
  "responses chat": ["/v1/responses", { input: "…" }],
  "responses count_tokens": ["/v1/responses/input_tokens", { input: "…" }],
  "anthropic chat": ["/v1/messages", { max_tokens: 1024, messages: says("…") }],
  "anthropic count_tokens": ["/v1/messages/count_tokens", { messages: says("…") }],
  "ollama chat": ["/api/chat", { messages: says("…") }],
  "ollama embeddings": ["/api/embed", { input: "…" }],
  "ollama embeddings_legacy": ["/api/embeddings", { prompt: "…" }],
  "ollama_generate chat": ["/api/generate", { prompt: "…" }],
};

/** Return the command; `request` is the body where it was kept, else an outline stands in its place. */
export function curl(entry, request, store) {
  const [path, outline] = ROUTES[`${entry.dialect} ${entry.operation}`] ?? ROUTES["openai chat"];
  const streams = entry.operation === "chat" || entry.operation === "completions";
  const sent = request ?? JSON.stringify({ model: entry.requested_model ?? entry.tier, ...outline, ...(streams && { stream: entry.stream }) });
  const key = store.config.auth_required ? [`-H "Authorization: Bearer $LMGW_KEY"`] : [];
  return [`curl -N ${address(store.health.client_url)}${path}`, ...key, "-H 'Content-Type: application/json'", `-d ${quoted(sent)}`].join(" \\\n  ");
}

/** How the client port is reached from where this page is: on the same machine, unless it says another. */
function address(url) {
  if (url.startsWith("unix:")) return `--unix-socket ${quoted(url.slice(5))} http://localhost`;
  const found = new URL(url);
  if (found.hostname === "127.0.0.1" || found.hostname === "[::1]") found.hostname = location.hostname;
  return found.origin;
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
