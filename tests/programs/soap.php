<?php
// A SOAP server for PHP's built-in web server (php -S), and a client that makes a round of calls
// (php soap.php URL ROUNDS). Neither has a WSDL: the address is the contract.
const SPACE = 'urn:lab:prices';

class Prices
{
    public function GetPrice($item)
    {
        if ($item === 'none') {
            throw new SoapFault('Client', 'no such item');
        }
        return 7;
    }

    public function SetPrice($item, $price)
    {
        return true;
    }
}

if (PHP_SAPI === 'cli-server') {
    $version = str_starts_with($_SERVER['REQUEST_URI'], '/12') ? SOAP_1_2 : SOAP_1_1;
    $server = new SoapServer(null, ['uri' => SPACE, 'soap_version' => $version]);
    $server->setClass('Prices');
    $server->handle();
    return;
}

[, $url, $rounds] = $argv;
$any = stream_context_create(['ssl' => ['verify_peer' => false, 'verify_peer_name' => false]]);
foreach (['/11' => SOAP_1_1, '/12' => SOAP_1_2] as $path => $version) {
    $client = new SoapClient(null, [
        'location' => $url . $path,
        'uri' => SPACE,
        'stream_context' => $any,
        'soap_version' => $version,
    ]);
    for ($round = 0; $round < $rounds; $round++) {
        if ($client->GetPrice('a') != 7 || !$client->SetPrice('a', 8)) {
            exit(1);
        }
        try {
            $client->GetPrice('none');
            exit(2);
        } catch (SoapFault $fault) {
        }
    }
}
echo "done\n";
