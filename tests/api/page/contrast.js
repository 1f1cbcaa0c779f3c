// Returns texts whose colour has too little contrast with what lies behind them (WCAG 2, AA).
const parse = (colour) => colour.match(/[\d.]+/g).map(Number);
const linear = (value) => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
function behind(element) {
  for (let one = element; one; one = one.parentElement) {
    const colour = parse(getComputedStyle(one).backgroundColor);
    if (colour[3] !== 0) return colour;
  }
  return [255, 255, 255];
}
const low = [];
for (const one of document.querySelectorAll("body *")) {
  const isText = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  if (!isText || !one.getClientRects().length || one.closest("title, option")) continue;
  const style = getComputedStyle(one);
  const text = parse(one.namespaceURI.endsWith("svg") ? style.fill : style.color);
  const [light, dark] = [luminance(text), luminance(behind(one))].sort((a, b) => b - a);
  const ratio = (light + 0.05) / (dark + 0.05);
  if (ratio < 4.5) low.push(`${one.textContent.trim().slice(0, 40)}: ${ratio.toFixed(2)}`);
}
return low;
