document.addEventListener("keydown", (event) => {
  // A foldable title opens by keyboard too.
  const title = event.target.closest?.(".callout-header[data-bs-toggle]");
  if (!title || (event.key !== "Enter" && event.key !== " ")) return;
  event.preventDefault();
  title.click();
});
(() => {
  // Browsers refuse fetch() for file: addresses, so there the search index comes as a script.
  if (location.protocol !== "file:") return;
  const fetchFromServer = window.fetch;
  window.fetch = (address, options) => {
    if (!String(address).endsWith("search.json")) return fetchFromServer(address, options);
    return new Promise((resolve, reject) => {
      const script = document.createElement("script");
      script.src = String(address).replace(/search\.json$/, "search-index.js");
      script.onload = () => resolve(new Response(JSON.stringify(window.bookSearchIndex)));
      script.onerror = reject;
      document.head.append(script);
    });
  };
})();
