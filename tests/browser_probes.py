"""What is measured inside a page: expressions for ``Page.js``."""

#: What four seconds were like: frames drawn, the longest time between two of them, tasks of 50 ms and more (in ms).
FRAMES = """new Promise((resolve) => {
  const began = performance.now(), tasks = [];
  new PerformanceObserver((list) => list.getEntries().forEach((each) => tasks.push(Math.round(each.duration))))
    .observe({ type: "longtask" });
  let frames = 0, last = began, longest = 0;
  const step = (now) => {
    frames += 1;
    longest = Math.max(longest, now - last);
    last = now;
    if (now - began < 4000) requestAnimationFrame(step); else resolve({ frames, longest: Math.round(longest), tasks });
  };
  requestAnimationFrame(step);
})"""

#: Keeps the page's event sources, so that a test can say something in the gateway's place.
SOURCES = """
window.sources = [];
window.EventSource = class extends EventSource {
  constructor(...given) { super(...given); window.sources.push(this); }
};
"""

#: What reaches beyond the right edge, but for what lies in a box of its own that scrolls.
TOO_WIDE = """[...document.querySelectorAll("body *")]
  .filter((e) => e.checkVisibility() && e.getBoundingClientRect().right > 391 && !e.closest(".scroll table, #toast"))
  .map((e) => `${e.tagName} ${e.id} ${e.className} ${Math.round(e.getBoundingClientRect().right)}`)"""

#: Texts whose contrast with what is behind them is below 4.5 to 1 (WCAG 2.2, 1.4.3).
FAINT = """(() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const rgb = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, said = walker.currentNode.data.trim();
    if (!said || element.closest("script, .hover, #toast")) continue;
    if (!element.checkVisibility({ opacityProperty: true })) continue;
    const grounds = [];
    for (let each = element; each; each = each.parentElement) grounds.unshift(getComputedStyle(each).backgroundColor);
    const pair = [[...grounds, getComputedStyle(element).color], grounds].map((colours) => light(rgb(colours)));
    const [a, b] = pair.sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${said.slice(0, 40)}`);
  }
  return faint;
})()"""
