<?php
// What PHP's own server answers: a list, one of it, and nothing else.
header('Content-Type: application/json');
$path = parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH);
if (preg_match('#^/articles(/\d+)?$#', $path)) {
    echo '{"title":"old"}';
} else {
    http_response_code(404);
    echo '{}';
}
