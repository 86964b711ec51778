// Draws each plot of a page when it comes near the window, from the JSON that stands behind it.

function draw(figure) {
  const place = figure.querySelector("div");
  const { data, layout } = JSON.parse(figure.nextElementSibling.textContent);
  Plotly.newPlot(place, data, layout, { displaylogo: false });
}

document.addEventListener("DOMContentLoaded", () => {
  const near = new IntersectionObserver(
    (entries) => {
      for (const entry of entries.filter((one) => one.isIntersecting)) {
        near.unobserve(entry.target);
        draw(entry.target);
      }
    },
    { rootMargin: "600px" },
  );
  document.querySelectorAll("figure.plot").forEach((figure) => near.observe(figure));
  // Paper shows everything.
  window.addEventListener("beforeprint", () => document.querySelectorAll("figure.plot").forEach(draw));
});
